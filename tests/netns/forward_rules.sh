#!/usr/bin/env bash
# Port rules: what is refused and how that is said, listeners that follow the other side, and
# rules that change while connections go on.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

SECOND=$LAB-second

listens() { # NAMESPACE ss-OPTION PORT...: exactly these ports, over all addresses
    local found
    found=$(ip netns exec "$1" ss -Hln"$2" | awk '{ sub(/.*:/, "", $4); print $4 }' | sort -nu | xargs)
    expect "${*:3}" "$found"
}

serve() { # NAME NAMESPACE PORT [ADDRESS]: a TCP server
    spawn "$1" "$2" python3 -m http.server "$3" --bind "${4:-127.0.0.1}"
    retry 5 ip netns exec "$2" bash -c "ss -Hlnt 'sport = :$3' | grep -q ."
}

bind_udp() { # NAME NAMESPACE PORT
    spawn "$1" "$2" python3 -c "
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', $3))
time.sleep(600)"
    retry 5 ip netns exec "$2" bash -c "ss -Hlnu 'sport = :$3' | grep -q ."
}

# refuses NAME PATTERN OPTION...: status 1, one line that matches, nothing left.
refuses() { check "$1" refused "${@:2}"; }

refused() {
    local status=0
    in_host timeout 10 "$PASTA_XDP" -q "${@:2}" --netns "$JOB" \
        >"$LAB_TMP/err" 2>&1 || status=$?
    cat "$LAB_TMP/err"
    expect 1 "$status"
    expect 1 "$(wc -l <"$LAB_TMP/err")"
    grep -Eq -- "$1" "$LAB_TMP/err"
    expect lo "$(job_links)"
}

reload() { # LINE: waits until the log has it once more
    local before
    before=$(grep -c "$1" "$LAB_TMP/xdp.log" || true)
    kill -HUP "$XDP_PID"
    retry 10 logged "$1" "$before"
}

logged() { (($(grep -c "$1" "$LAB_TMP/xdp.log") > $2)); }

second_entry() { # LINE...
    printf '  - name: second\n    netns: /run/netns/%s\n    interface: eth0\n' "$SECOND"
    printf '    %s\n' "$@"
}

link_index() { ip -n "$JOB" -o link show dev eth0 | cut -d: -f1; }

lab_up
lab_namespace "$SECOND"
for each in "$HOST" "$JOB" "$SECOND"; do
    ip netns exec "$each" sysctl -q -w net.ipv4.ip_local_port_range="32768 60999"
done

# --- what is refused ------------------------------------------------------------------------

serve busy "$HOST" 8080
BUSY=$SPAWNED
refuses "a busy port names its holder" \
    "^pasta-xdp: --tcp-ports 8080:80: TCP port 8080 of the host is in use by python3 \\(pid [0-9]+\\)$" \
    -t 8080:80
refuses "a busy port in a range" '8000-8090: TCP port 8080 of the host is in use' -t 8000-8090
serve inside "$JOB" 3128
refuses "a busy port in the namespace" 'ns 3128: TCP port 3128 of the namespace is in use by python3' -T 3128
refuses "an address that is not there" '203\.0\.113\.99 is not an address of the host' -t 203.0.113.99/80
refuses "an interface that is not there" 'the host has no interface nix0' -u %nix0/53
refuses "two rules for one port" '--tcp-ports 90-99: TCP port 95 is taken by --tcp-ports 95' -t 95 -t 90-99
refuses "auto beside ports" 'auto stands alone' -t auto -t 80
refuses "all that is there is taken" 'no port can be had: TCP port 8080 of the host is in use' \
    -t '127.0.0.1/~1-8079,~8081-65535'
check "privileged ports without the capability" eval '
    status=0
    in_host timeout 10 setpriv --bounding-set=-net_bind_service --inh-caps=-net_bind_service \
        "$PASTA_XDP" -q -t 80 --netns "$JOB" >"$LAB_TMP/err" 2>&1 || status=$?
    cat "$LAB_TMP/err"
    expect 1 "$status"
    grep -q "TCP port 80 of the host is a privileged one (CAP_NET_BIND_SERVICE" "$LAB_TMP/err"'

# --- auto -----------------------------------------------------------------------------------

xdp_run --netns "$JOB" --ns-ifname eth0
check "TCP of the host is there in the namespace from the start" listens "$JOB" t 3128 8080
check "TCP of the namespace is there on the host" listens "$HOST" t 3128 8080
bind_udp name "$JOB" 5353
check "UDP follows" retry 12 listens "$HOST" u 5353
bind_udp client "$JOB" 40000
serve late "$HOST" 9000
LATE=$SPAWNED
check "a new server of the host is followed" retry 12 listens "$JOB" t 3128 8080 9000
check "a client's UDP port is not" listens "$HOST" u 5353
kill "$LATE"
check "one that ended is let go" retry 12 listens "$JOB" t 3128 8080
check "loopback only in the namespace" eval \
    '[[ $(in_job ss -Hlnt "sport = :8080" | awk "{ print \$4 }" | sort | xargs) == "127.0.0.1:8080 [::1]:8080" ]]'
serve clash "$JOB" 9001
check "it is followed to the host" retry 12 listens "$HOST" t 3128 8080 9001
stop_cleanly
check "no listener is left on the host" listens "$HOST" t 8080

# --- rules in a file, and reloading ---------------------------------------------------------

xdp_config 'forward:' '  tcp: ["9100-9102", "127.0.0.1:2222:22"]' '  tcp_to_host: [8080]' >"$LAB_TMP/xdp.yaml"
xdp_run -c "$LAB_TMP/xdp.yaml"
INDEX=$(link_index)
check "listeners of the rules" listens "$HOST" t 2222 8080 9100 9101 9102
check "listeners in the namespace" listens "$JOB" t 3128 8080 9001

xdp_config 'forward:' '  tcp: ["9101-9103"]' >"$LAB_TMP/xdp.yaml"
check "other rules" reload '^ready'
check "take effect" listens "$HOST" t 8080 9101 9102 9103
check "in the namespace, too" listens "$JOB" t 3128 9001
check "and its link stays" eval '[[ $(link_index) == "$INDEX" ]]'

xdp_config 'forward: {tcp: ["9101"]}' >"$LAB_TMP/xdp.yaml"
second_entry 'forward: {tcp: ["9102-9103"]}' >>"$LAB_TMP/xdp.yaml"
check "a port goes to a namespace that is new" reload '^second: connected'
check "all of them are listened on" listens "$HOST" t 8080 9101 9102 9103
xdp_config 'forward: {tcp: ["9103"]}' >"$LAB_TMP/xdp.yaml"
second_entry 'forward: {tcp: ["9101-9102"]}' >>"$LAB_TMP/xdp.yaml"
check "two namespaces exchange ports" reload '^ready'
check "and listen" listens "$HOST" t 8080 9101 9102 9103
check "nothing was refused" eval '! grep -q "stay as they were" "$LAB_TMP/xdp.log"'

xdp_config 'forward: {tcp: ["9104"]}' >"$LAB_TMP/xdp.yaml"
second_entry 'forward: {tcp: ["9101", "8080"]}' >>"$LAB_TMP/xdp.yaml"
check "a busy port on reload is said" reload \
    '^ports stay as they were: .*xdp.yaml:[0-9]*: namespaces\[1\].forward.tcp\[1\]: TCP port 8080 of the host is in use by python3'
check "and nothing changes" listens "$HOST" t 8080 9101 9102 9103
xdp_config 'forward: {tcp: ["9104"]}' >"$LAB_TMP/xdp.yaml"
second_entry 'forward: {tcp: ["9101", "9104"]}' >>"$LAB_TMP/xdp.yaml"
check "two namespaces with one port" reload '^not reloaded: .*TCP port 9104 is taken by .*namespaces\[0\]'
check "change nothing, either" listens "$HOST" t 8080 9101 9102 9103
kill "$BUSY"
xdp_config 'forward: {tcp: ["8080"]}' >"$LAB_TMP/xdp.yaml"
second_entry 'forward: {tcp: ["9101", "9105"]}' >>"$LAB_TMP/xdp.yaml"
check "when it is corrected" reload '^ready'
check "it takes effect" listens "$HOST" t 8080 9101 9105
stop_cleanly
check "nothing listens any more" listens "$HOST" t
lab_result
