#!/usr/bin/env bash
# UDP from the namespace: bytes, sizes, ports, errors.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

client() { in_job python3 "$LAB_DIR/peer.py" "$@"; }

as_native() {
    say "on the host itself:"
    expect "$1" "$(in_host python3 "$LAB_DIR/peer.py" "${@:2}")"
    say "in the namespace:"
    expect "$1" "$(client "${@:2}")"
}

# 300 source ports, one datagram each: every port gets its own answer.
many_flows() { expect "300 answered" "$(client many-ports "$WORLD4" 7002 20000 300)"; }

large_ping() { in_job ping -q -c 10 -i 0.05 -W 2 -s 20000 "$1" | grep ' 10 received'; }

reassembled() { # LEAST: how often --stats says so, and that no fragment was lost on the way
    local count failed
    count=$(grep -Eo '\bpackets_reassembled\b[^0-9]+[0-9]+' "$LAB_TMP/xdp.log" | grep -Eo '[0-9]+$')
    failed=$(grep -Eo '\breassembly_failed\b[^0-9]+[0-9]+' "$LAB_TMP/xdp.log" | grep -Eo '[0-9]+$') ||
        failed=0
    say "$count packets reassembled, at least $1 expected; $failed failed"
    ((count >= $1 && failed == 0))
}

lab_up
lab_peer 7001/udp udp-echo-server "$WORLD4,$WORLD6"
lab_peer 7002/udp source-port-server "$WORLD4,$WORLD6"
xdp_start
sizes=0,1,18,1400,1472,1473,8000,30000,60000,65000
check "sizes $sizes, IPv4" as_native "all back" udp-echo "$WORLD4" 7001 "$sizes"
check "sizes $sizes, IPv6" as_native "all back" udp-echo "$WORLD6" 7001 "$sizes"
check "source port is kept, IPv4" as_native 34567 source-port "$WORLD4" 7002 34567
check "source port is kept, IPv6" as_native 34568 source-port "$WORLD6" 7002 34568
check "300 flows at once" many_flows
check "port unreachable, IPv4" as_native ECONNREFUSED udp-error "$WORLD4" 7999
check "port unreachable, IPv6" as_native ECONNREFUSED udp-error "$WORLD6" 7999
check "host unreachable, IPv4" as_native EHOSTUNREACH udp-error "$UNREACHABLE4" 7999
check "host unreachable, IPv6" as_native ENETUNREACH udp-error "$UNREACHABLE6" 7999
stop_cleanly

# On a small link the namespace's own kernel cuts what is larger, and so does the daemon back.
sizes=1400,1472,1473,4000,20000,65000,65507
for workers in 1 2; do
    LAB_WORKERS=$workers LAB_QUEUES=all xdp_start "mtu: 1500"
    name="MTU 1500, $workers workers"
    check "$name: sizes $sizes, IPv4" as_native "all back" udp-echo "$WORLD4" 7001 "$sizes"
    check "$name: sizes $sizes, IPv6" as_native "all back" udp-echo "$WORLD6" 7001 "$sizes"
    check "$name: ping of 20000 bytes, IPv4" large_ping "$WORLD4"
    check "$name: ping of 20000 bytes, IPv6" large_ping "$WORLD6"
    stop_cleanly
    check "$name: packets were reassembled" reassembled 30
done
lab_result
