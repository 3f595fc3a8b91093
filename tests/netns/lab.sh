# shellcheck shell=bash
# The lab that the end-to-end tests and the demo run in. Source it, then call lab_up.
#
#   world  198.51.100.1, 2001:db8:1::1    --- veth --- host  198.51.100.2, 2001:db8:1::2
#     |    203.0.113.10, 2001:db8:2::10 (servers)        |   pasta-xdp runs here
#   veth                                                job  no network but what pasta-xdp brings
#     |
#   far    a router that sends everything back to world, for errors on the way
#
# All names carry the prefix LAB, unique per run. Whatever is made is removed on exit, also after
# a failure or a signal: processes by the pids recorded in $LAB_TMP/pids and by what still lives
# in the lab's namespaces, then namespaces (their links go with them), then files.

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_ROOT=$(cd "$LAB_DIR/../.." && pwd)
PASTA_XDP=$(realpath -m "${PASTA_XDP:-$LAB_ROOT/build/release/control/pasta-xdp}")
LAB=${LAB:-px-$$}
LAB_MTU=${LAB_MTU:-65520}
LAB_FAILED=0

WORLD=$LAB-world
HOST=$LAB-host
FAR=$LAB-far
JOB=${LAB_JOB:-$LAB-job}
SERVERS=$WORLD # namespace of the servers below; tests of forwarded ports say $JOB

WORLD4=203.0.113.10
WORLD6=2001:db8:2::10
GATEWAY4=198.51.100.1
HOST4=198.51.100.2
HOST6=2001:db8:1::2
BLACKHOLE4=203.0.113.66    # silently dropped by world
UNREACHABLE4=203.0.113.67  # world answers with host unreachable
UNREACHABLE6=2001:db8:2::67
LOOP4=203.0.113.200  # bounced between world and far until its TTL is used up
LOOP6=2001:db8:2:200::1
DNS_FORWARD=169.254.1.1
ZONE=lab.example

say() { printf '%s\n' "$*"; }
die() {
    say "lab: $*" >&2
    exit 1
}

in_ns() { ip netns exec "$LAB-$1" "${@:2}"; }
in_world() { ip netns exec "$WORLD" "$@"; }
in_host() { ip netns exec "$HOST" "$@"; }
in_job() { ip netns exec "$JOB" "$@"; }

# retry SECONDS COMMAND...: until COMMAND succeeds; fails when the time is over.
retry() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# spawn NAME NAMESPACE COMMAND...: starts a process in a session of its own, output to NAME.log.
# Sets SPAWNED to its pid.
spawn() {
    local name=$1 namespace=$2
    shift 2
    : >"$LAB_TMP/$name.log" # here, not in the child: nobody is to read what an earlier one left
    setsid ip netns exec "$namespace" "$@" </dev/null >>"$LAB_TMP/$name.log" 2>&1 &
    SPAWNED=$!
    echo "$SPAWNED" >>"$LAB_TMP/pids"
}

# --- making ---------------------------------------------------------------------------------

# A namespace may only choose cubic when the machine allows it to all; where the machine's default
# is another, this adds it to the allowed ones, which changes nothing for anybody else.
lab_allow_cubic() {
    local allowed
    allowed=$(sysctl -n net.ipv4.tcp_allowed_congestion_control)
    [[ " $allowed " == *" cubic "* ]] ||
        sysctl -q -w net.ipv4.tcp_allowed_congestion_control="$allowed cubic"
}

# lab_namespace NAME: a namespace with lo up, cubic, and no surprises from machine-wide defaults.
lab_namespace() {
    ip netns add "$1"
    echo "$1" >>"$LAB_TMP/namespaces"
    ip netns exec "$1" sysctl -q -w \
        net.ipv4.tcp_congestion_control=cubic \
        net.ipv4.ip_local_port_range="1024 65535" \
        net.ipv4.tcp_tw_reuse=1 \
        net.ipv4.ping_group_range="0 2147483647" \
        net.ipv6.conf.all.accept_dad=0 \
        net.ipv6.conf.default.accept_dad=0
    ip -n "$1" link set lo up
}

lab_resolver() { # NAMESPACE ADDRESS: what /etc/resolv.conf says for `ip netns exec`
    mkdir -p "/etc/netns/$1"
    printf 'nameserver %s\nsearch %s\n' "$2" "$ZONE" >"/etc/netns/$1/resolv.conf"
}

lab_link() { # NAMESPACE IF NAMESPACE IF
    ip link add "$2" netns "$1" mtu "$LAB_MTU" type veth \
        peer name "$4" netns "$3" mtu "$LAB_MTU"
    ip -n "$1" link set "$2" up
    ip -n "$3" link set "$4" up
}

lab_make_world() {
    lab_namespace "$WORLD"
    in_world sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
        net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 \
        net.core.somaxconn=8192 net.ipv4.tcp_max_syn_backlog=8192
    ip -n "$WORLD" address add "$WORLD4/32" dev lo
    ip -n "$WORLD" address add "$WORLD6/128" dev lo
    ip -n "$WORLD" route add blackhole "$BLACKHOLE4/32"
    ip -n "$WORLD" route add unreachable "$UNREACHABLE4/32"
    ip -n "$WORLD" route add unreachable "$UNREACHABLE6/128"
}

lab_make_far() {
    lab_namespace "$FAR"
    in_ns far sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
        net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 \
        net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
    lab_link "$WORLD" far0 "$FAR" world0
    ip -n "$WORLD" address add 203.0.113.129/30 dev far0
    ip -n "$FAR" address add 203.0.113.130/30 dev world0
    ip -n "$WORLD" address add 2001:db8:3::1/64 dev far0
    ip -n "$FAR" address add 2001:db8:3::2/64 dev world0
    ip -n "$WORLD" route add "$LOOP4/32" via 203.0.113.130
    ip -n "$WORLD" route add "$LOOP6/128" via 2001:db8:3::2
    ip -n "$FAR" route add default via 203.0.113.129
    ip -n "$FAR" route add default via 2001:db8:3::1
}

lab_make_host() {
    lab_namespace "$HOST"
    lab_link "$WORLD" host0 "$HOST" eth0
    ip -n "$WORLD" address add "$GATEWAY4/24" dev host0
    ip -n "$WORLD" address add 2001:db8:1::1/64 dev host0
    ip -n "$HOST" address add "$HOST4/24" dev eth0
    ip -n "$HOST" address add "$HOST6/64" dev eth0
    ip -n "$HOST" route add default via "$GATEWAY4"
    ip -n "$HOST" route add default via 2001:db8:1::1
    lab_resolver "$HOST" "$WORLD4"
}

lab_make_job() {
    lab_namespace "$JOB"
    lab_resolver "$JOB" "$DNS_FORWARD"
}

# lab_up: world, host and job, connected, without servers.
lab_up() {
    ((EUID == 0)) || die "needs root"
    LAB_TMP=$(mktemp -d "${TMPDIR:-/tmp}/$LAB.XXXXXX")
    trap lab_down EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    : >"$LAB_TMP/pids"
    : >"$LAB_TMP/namespaces"
    lab_allow_cubic
    lab_make_world
    lab_make_far
    lab_make_host
    lab_make_job
    retry 5 in_host ping -c1 -W1 "$WORLD4" || die "no IPv4 between host and world"
    retry 5 in_host ping -c1 -W1 "$WORLD6" || die "no IPv6 between host and world"
}

# --- unmaking -------------------------------------------------------------------------------

lab_pids() { # the recorded processes that live, and all that live in the lab's namespaces
    local pid namespace
    while read -r pid; do
        if kill -0 "$pid" 2>/dev/null; then say "$pid"; fi
    done <"$LAB_TMP/pids"
    while read -r namespace; do
        ip netns pids "$namespace" 2>/dev/null || true
    done <"$LAB_TMP/namespaces"
}

lab_signal() {
    local pid
    for pid in $(lab_pids); do
        if [[ $pid != "$$" ]]; then kill "-$1" "$pid" 2>/dev/null || true; fi
    done
}

lab_quiet() { [[ -z $(lab_pids) ]]; }

lab_down() {
    local status=$? namespace
    trap '' INT TERM HUP
    set +e
    lab_signal TERM
    retry 3 lab_quiet || {
        lab_signal KILL
        retry 3 lab_quiet
    }
    while read -r namespace; do
        ip netns del "$namespace" 2>/dev/null
        rm -rf "/etc/netns/$namespace"
    done <"$LAB_TMP/namespaces"
    rmdir /etc/netns 2>/dev/null
    rm -rf "$LAB_TMP"
    exit "$status"
}

# --- servers --------------------------------------------------------------------------------

listening() { # PORT [tcp|udp]: something in $SERVERS listens
    ip netns exec "$SERVERS" ss -Hln"${2:+u}${2:-t}" "sport = :$1" | grep -q .
}

# lab_file NAME SIZE: random bytes in $LAB_FILES, made once and kept with their SHA-256.
lab_file() {
    LAB_FILES=${LAB_FILES:-$LAB_TMP/files}
    mkdir -p "$LAB_FILES"
    [[ -s $LAB_FILES/$1.sha256 ]] && return
    head -c "$2" /dev/zero |
        openssl enc -aes-128-ctr -nosalt -K "$(openssl rand -hex 16)" -iv 0 2>/dev/null \
            >"$LAB_FILES/$1"
    sha256sum "$LAB_FILES/$1" | cut -d' ' -f1 >"$LAB_FILES/$1.sha256"
}

lab_sha256() { cat "$LAB_FILES/$1.sha256"; }

# lab_nginx: serves $LAB_FILES on port 80.
lab_nginx() {
    lab_file 1M 1M
    cat >"$LAB_TMP/nginx.conf" <<CONF
daemon off;
user root;
worker_processes 1;
pid $LAB_TMP/nginx.pid;
error_log $LAB_TMP/nginx.log warn;
events { worker_connections 8192; }
http {
    access_log off;
    sendfile on;
    send_timeout 600;
    client_body_temp_path $LAB_TMP/nginx-body;
    proxy_temp_path $LAB_TMP/nginx-proxy;
    fastcgi_temp_path $LAB_TMP/nginx-fastcgi;
    uwsgi_temp_path $LAB_TMP/nginx-uwsgi;
    scgi_temp_path $LAB_TMP/nginx-scgi;
    server {
        listen 80 backlog=4096;
        listen [::]:80 ipv6only=on backlog=4096;
        root $LAB_FILES;
    }
}
CONF
    spawn nginx "$SERVERS" nginx -e "$LAB_TMP/nginx.log" -c "$LAB_TMP/nginx.conf"
    retry 5 listening 80 || die "nginx did not start: $(cat "$LAB_TMP/nginx.log")"
}

# lab_iperf FIRST [COUNT]: COUNT iperf3 servers from port FIRST on.
lab_iperf() {
    local port
    for ((port = $1; port < $1 + ${2:-1}; port++)); do
        spawn "iperf-$port" "$SERVERS" iperf3 -s -p "$port"
        retry 5 listening "$port" || die "iperf3 did not start"
    done
}

# lab_dns: dnsmasq with the test zone, no upstream.
lab_dns() {
    spawn dnsmasq "$WORLD" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv \
        --no-hosts --user=root --pid-file --bind-interfaces --listen-address="$WORLD4,$WORLD6" \
        --local="/$ZONE/" --host-record="www.$ZONE,$WORLD4,$WORLD6" \
        --txt-record="text.$ZONE,two words" --txt-record="long.$ZONE,$(printf 'x%.0s' {1..250})"
    retry 5 listening 53 udp || die "dnsmasq did not start: $(cat "$LAB_TMP/dnsmasq.log")"
}

# lab_peer PORT NAME ARGUMENTS...: a server of peer.py; PORT/udp is waited for as UDP.
lab_peer() {
    local port=${1%/udp} protocol=
    if [[ $1 == */udp ]]; then protocol=udp; fi
    spawn "$2-$port" "$SERVERS" python3 "$LAB_DIR/peer.py" "$2" "$port" "${@:3}"
    retry 5 listening "$port" "$protocol" || die "$2 did not start"
}

peer() { python3 "$LAB_DIR/peer.py" "$@"; }

# --- pasta-xdp ------------------------------------------------------------------------------

# xdp_config [LINE...]: a configuration for the job; LINEs are added to its namespaces entry.
# LAB_WORKERS, LAB_POLLING and LAB_QUEUES set what the tests vary.
xdp_config() {
    cat <<YAML
dataplane:
  workers: ${LAB_WORKERS:-1}
  polling: ${LAB_POLLING:-adaptive}
namespaces:
  - name: job
    netns: /run/netns/$JOB
    interface: eth0
    queues: ${LAB_QUEUES:-1}
    dns_forward: $DNS_FORWARD
YAML
    if (($#)); then printf '    %s\n' "$@"; fi
}

xdp_ready() { grep -Eq '(^|[] ])ready' "$LAB_TMP/xdp.log" || ! kill -0 "$XDP_PID"; }

# xdp_run ARGUMENTS...: pasta-xdp in host, returns when it is ready. Log in $LAB_TMP/xdp.log.
xdp_run() {
    [[ -x $PASTA_XDP ]] || die "no $PASTA_XDP; ./run build makes it"
    spawn xdp "$HOST" "$PASTA_XDP" "$@"
    XDP_PID=$SPAWNED
    retry 20 xdp_ready || true
    if ! kill -0 "$XDP_PID" 2>/dev/null; then
        die "pasta-xdp ended: $(cat "$LAB_TMP/xdp.log")"
    fi
    grep -Eq '(^|[] ])ready' "$LAB_TMP/xdp.log" ||
        die "pasta-xdp not ready after 20 s: $(cat "$LAB_TMP/xdp.log")"
}

# xdp_start [LINE...]: pasta-xdp with xdp_config.
xdp_start() {
    xdp_config "$@" >"$LAB_TMP/xdp.yaml"
    xdp_run -c "$LAB_TMP/xdp.yaml" --stats
}

xdp_gone() { ! kill -0 "$XDP_PID"; }

# xdp_stop: ends it, shows its log where its status is not 0, returns the status. To be
# called by the shell that started it, not within check.
xdp_stop() {
    local status=0
    kill -TERM "$XDP_PID"
    retry 10 xdp_gone || {
        say "still runs 10 s after SIGTERM"
        kill -KILL "$XDP_PID"
    }
    wait "$XDP_PID" || status=$?
    ((status == 0)) || cat "$LAB_TMP/xdp.log"
    return "$status"
}

# --- results --------------------------------------------------------------------------------

# check NAME COMMAND...: prints one line; COMMAND runs in a subshell under `set -e`, its output is
# shown when it fails.
check() {
    local name=$1 status
    shift
    set +e
    (
        set -e
        "$@"
    ) >"$LAB_TMP/check.out" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
        say "ok $name"
    else
        say "not ok $name"
        sed 's/^/    /' "$LAB_TMP/check.out" | tail -n 20
        LAB_FAILED=1
    fi
}

expect() { # EXPECTED ACTUAL
    [[ $1 == "$2" ]] || {
        say "expected: $1"
        say "but got:  $2"
        return 1
    }
}

# stop_cleanly: every script's last check: status 0, no interface left in the job.
stop_cleanly() {
    local status=0
    xdp_stop >"$LAB_TMP/stop.out" 2>&1 || status=$?
    check "SIGTERM ends it with status 0" stopped_with "$status"
    check "no interface left in the namespace" expect lo "$(job_links)"
}

stopped_with() {
    cat "$LAB_TMP/stop.out"
    expect 0 "$1"
}

job_links() { ip -n "$JOB" -br link | awk '{sub(/@.*/, "", $1); print $1}' | sort | xargs; }

lab_result() { exit "$LAB_FAILED"; }
