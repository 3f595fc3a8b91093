#!/usr/bin/env bash
# Echo through ping sockets and raw sockets, and ICMP errors on the way back.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

no_loss() { # ADDRESS COUNT
    local out
    out=$(in_job ping -c "$2" -i 0.01 -W 2 "$1")
    say "$out" | tail -n 3
    grep -q "^$2 packets transmitted, $2 received, 0% packet loss" <<<"$out" || return 1
    if grep -q DUP <<<"$out"; then return 1; fi
    # Sequence numbers come back as sent, each once and in order.
    expect "$(seq 1 "$2" | xargs)" "$(grep -o 'icmp_seq=[0-9]*' <<<"$out" | cut -d= -f2 | xargs)"
}

# ping -e sets the identifier; the reply must carry it, which ping checks before it counts it.
keeps_identifier() { in_job ping -q -c 3 -i 0.05 -W 2 -e 4660 "$1"; }

two_at_once() { # same identifier space, two processes, no mixing
    local first second
    in_job ping -q -c 50 -i 0.01 -W 2 "$WORLD4" >"$LAB_TMP/first" &
    first=$!
    in_job ping -q -c 50 -i 0.01 -W 2 -s 1000 "$WORLD4" >"$LAB_TMP/second" &
    second=$!
    wait "$first"
    wait "$second"
    grep -q ' 50 received' "$LAB_TMP/first"
    grep -q ' 50 received' "$LAB_TMP/second"
}

size() { in_job ping -q -c 2 -i 0.05 -W 2 -s "$2" "$1"; }

reports() { # PATTERN ADDRESS: ping prints the error that came back
    local out
    out=$(in_job ping -c 2 -i 0.2 -W 2 "$2" 2>&1) || true
    say "$out"
    grep -Eq "$1" <<<"$out"
}

errors() {
    check "$1 host unreachable, IPv4" reports 'Destination Host Unreachable' "$UNREACHABLE4"
    check "$1 unreachable, IPv6" reports 'Destination unreachable' "$UNREACHABLE6"
    check "$1 time exceeded, IPv4" reports 'Time to live exceeded' "$LOOP4"
    check "$1 time exceeded, IPv6" reports 'Time exceeded' "$LOOP6"
}

lab_up
xdp_start
check "ping -c 100 -i 0.01 loses nothing, IPv4" no_loss "$WORLD4" 100
check "ping -c 100 -i 0.01 loses nothing, IPv6" no_loss "$WORLD6" 100
check "identifier is kept, IPv4" keeps_identifier "$WORLD4"
check "identifier is kept, IPv6" keeps_identifier "$WORLD6"
check "two pings at once" two_at_once
check "empty payload" size "$WORLD4" 0
check "32 KiB payload, IPv4" size "$WORLD4" 32768
check "32 KiB payload, IPv6" size "$WORLD6" 32768
errors "ping sockets:"
stop_cleanly

in_host sysctl -q -w net.ipv4.ping_group_range="1 0"
xdp_start
check "raw sockets: IPv4" no_loss "$WORLD4" 20
check "raw sockets: IPv6" no_loss "$WORLD6" 20
errors "raw sockets:"
stop_cleanly
lab_result
