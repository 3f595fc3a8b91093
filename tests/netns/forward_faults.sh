#!/usr/bin/env bash
# Port rules when things go wrong: servers killed, a namespace removed, descriptors used up,
# clients that come and do nothing (forward_faults.py); `auto` with traffic.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

export LAB PYTHONDONTWRITEBYTECODE=1 # for places.py
SECOND=$LAB-second

fault() { check "$1" python3 "$LAB_DIR/forward_faults.py" "$XDP_PID" "$2"; }

counted() { # NAME...: one of the counters is not 0
    local name
    for name in "$@"; do
        if grep -Eq "^$name +[1-9]" "$LAB_TMP/xdp.log"; then return; fi
    done
    say "none of $* was counted"
    return 1
}

starved() { ! grep -E '^(drop_no_chunk|link_fill_starved) +[1-9]' "$LAB_TMP/xdp.log"; }

answers() { # NAMESPACE HOST PORT TEXT
    expect "$4" "$(ip netns exec "$1" curl -sS --max-time 5 "http://$2:$3/" 2>&1 | tail -n 1)"
}

refuses() { # NAMESPACE HOST PORT
    local status=0
    ip netns exec "$1" curl -sS --max-time 5 "http://$2:$3/" || status=$?
    expect 7 "$status" # could not connect; 28 would be a time-out
}

serve() { # NAMESPACE PORT TEXT: an HTTP server
    mkdir -p "$LAB_TMP/www-$2"
    echo "$3" >"$LAB_TMP/www-$2/index.html"
    spawn "www-$2" "$1" python3 -m http.server "$2" --bind "${4:-::}" \
        --directory "$LAB_TMP/www-$2"
}

lab_up
lab_namespace "$SECOND"
xdp_config 'forward:' '  tcp: ["7001-7002"]' '  tcp_to_host: ["7101-7102"]' |
    sed 's/^  workers:/  umem_mib: 16\n&/' >"$LAB_TMP/xdp.yaml"
printf '  - {name: second, netns: /run/netns/%s, interface: eth0, forward: {tcp: ["7201-7202"]}}\n' \
    "$SECOND" >>"$LAB_TMP/xdp.yaml"
for each in "$HOST" "$JOB"; do # the kernel gives up on a silent peer after 3 s
    ip netns exec "$each" sysctl -q -w net.ipv4.tcp_syn_retries=1 net.ipv4.tcp_syn_linear_timeouts=0
done
xdp_run -c "$LAB_TMP/xdp.yaml" --stats
fault "server killed in mid-transfer" server_killed
fault "the same once more" server_killed
fault "3,000 half-used connections" half_used
fault "SYN flood" syn_flood
fault "namespace removed in mid-transfer" namespace_removed
fault "descriptors used up" descriptors_exhausted
fault "all is well after that" server_killed
stop_cleanly
check "that descriptors were missing is counted" counted listener_pauses
check "chunks were never missing" starved

# The lab's hosts have all ports as ephemeral ones, which `auto` leaves alone.
for each in "$HOST" "$JOB"; do
    ip netns exec "$each" sysctl -q -w net.ipv4.ip_local_port_range="32768 60999"
done
xdp_run --netns "$JOB" --ns-ifname eth0
serve "$JOB" 8001 inside
INSIDE=$SPAWNED
serve "$HOST" 8002 outside 127.0.0.1
OUTSIDE=$SPAWNED
check "auto: a new server of the namespace, from the world" \
    retry 10 answers "$WORLD" "$HOST4" 8001 inside
check "auto: over IPv6" retry 10 answers "$WORLD" "[$HOST6]" 8001 inside
check "auto: from the host's loopback" retry 10 answers "$HOST" 127.0.0.1 8001 inside
check "auto: a new server of the host's loopback, from the namespace" \
    retry 10 answers "$JOB" 127.0.0.1 8002 outside
kill "$INSIDE" "$OUTSIDE"
check "auto: the namespace's ended, refused to the world" retry 10 refuses "$WORLD" "$HOST4" 8001
check "auto: and to the host" retry 10 refuses "$HOST" 127.0.0.1 8001
check "auto: the host's ended, refused to the namespace" retry 10 refuses "$JOB" 127.0.0.1 8002
stop_cleanly
lab_result
