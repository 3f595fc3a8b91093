#!/usr/bin/env bash
# pasta-xdp -- COMMAND: a new namespace for one command.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

run() { in_host timeout 30 "$PASTA_XDP" "$@"; }

exits_with() { # STATUS ARGUMENTS...
    local status=0
    run "${@:2}" || status=$?
    expect "$1" "$status"
}

shows_addresses() {
    local out
    out=$(run -- ip -br address)
    say "$out"
    grep -q "$HOST4/24" <<<"$out"
    grep -q "$HOST6/64" <<<"$out"
    grep -Eq '^eth0' <<<"$out"
}

descriptor_limit() {
    ulimit -Sn 1000
    expect 1000 "$(run -- sh -c 'ulimit -Sn' 2>/dev/null)"
}

prints_only_the_command() { expect hello "$(run -- echo hello 2>/dev/null)"; }

passes_input() { expect HELLO "$(echo hello | run -- tr a-z A-Z 2>/dev/null)"; }

pings() { run -- ping -q -c 2 -i 0.05 -W 2 "$1"; }

term_ends_it() {
    local pid status=0
    ip netns exec "$HOST" "$PASTA_XDP" -- sleep 61.7 &
    pid=$!
    retry 10 pgrep -f '^sleep 61\.7$'
    kill -TERM "$pid"
    wait "$pid" || status=$?
    expect 0 "$status"
    if pgrep -f '^sleep 61\.7$'; then return 1; fi
}

lab_up
check "addresses inside" shows_addresses
check "output is the command's alone" prints_only_the_command
check "the command's limit of descriptors is the caller's" descriptor_limit
check "input reaches the command" passes_input
check "IPv4 works at the command's start" pings "$WORLD4"
check "IPv6 works at the command's start" pings "$WORLD6"
check "exit status 0" exits_with 0 -- true
check "exit status 7" exits_with 7 -- sh -c 'exit 7'
check "killed by a signal: 128 + 9" exits_with 137 -- sh -c 'kill -KILL $$'
check "no such command: 127" exits_with 127 -- /no/such/command
check "--mtu" expect 1400 "$(run --mtu 1400 -- cat /sys/class/net/eth0/mtu 2>/dev/null)"
check "--ns-ifname" run --ns-ifname pasta0 -- ip link show dev pasta0
check "SIGTERM ends daemon and command" term_ends_it
check "no process is left" expect "" "$(ip netns pids "$HOST")"
lab_result
