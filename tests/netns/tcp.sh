#!/usr/bin/env bash
# What applications see of TCP beyond bulk data: the same as on the host itself.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

# as_native WANTED CLIENT...: the client prints WANTED on the host, and the same in the job.
as_native() {
    say "on the host itself:"
    expect "$1" "$(in_host python3 "$LAB_DIR/peer.py" "${@:2}")"
    say "in the namespace:"
    expect "$1" "$(in_job python3 "$LAB_DIR/peer.py" "${@:2}")"
}

client() { in_job python3 "$LAB_DIR/peer.py" "$@"; }

witnessed() { # COUNT ENDING: how the server saw the last COUNT connections end
    retry 3 ended "$1"
    expect "$2" "$(tail -n 1 "$LAB_TMP/witness")"
}

ended() { (($(wc -l <"$LAB_TMP/witness") >= $1)); }

client_resets() {
    : >"$LAB_TMP/witness"
    client send-then-reset "$WORLD4" 7002
    witnessed 1 ECONNRESET
}

client_ends() {
    : >"$LAB_TMP/witness"
    client connect "$WORLD4" 7002 5
    witnessed 1 EOF
}

socat_half_close() { # the request ends first, the answer comes after
    expect 20 "$(seq 1 20 | in_job socat -t 5 - "TCP:$WORLD4:7003" | tail -n 1)"
}

no_flows_left() { # connections that ended leave no socket behind on the host
    retry 5 no_sockets || {
        in_host ss -tan
        return 1
    }
}

no_sockets() { [[ -z $(in_host ss -Htn state established state close-wait state fin-wait-2) ]]; }

lab_up
lab_peer 7000 echo
lab_peer 7001 resetting
lab_peer 7002 witness "$LAB_TMP/witness"
spawn socat "$WORLD" socat TCP-LISTEN:7003,fork,reuseaddr SYSTEM:"sleep 0.3; sort -n"
retry 5 listening 7003
for namespace in "$HOST" "$JOB"; do # the kernel gives up on a silent peer after 3 s
    ip netns exec "$namespace" sysctl -q -w net.ipv4.tcp_syn_retries=1 \
        net.ipv4.tcp_syn_linear_timeouts=0
done
xdp_start

check "connected, IPv4" as_native connected connect "$WORLD4" 7000 5
check "connected, IPv6" as_native connected connect "$WORLD6" 7000 5
check "refused, IPv4" as_native ECONNREFUSED connect "$WORLD4" 7999 5
check "refused, IPv6" as_native ECONNREFUSED connect "$WORLD6" 7999 5
check "unreachable, IPv4" as_native EHOSTUNREACH connect "$UNREACHABLE4" 80 5
check "unreachable, IPv6" as_native ENETUNREACH connect "$UNREACHABLE6" 80 5
check "timed out" as_native ETIMEDOUT connect "$BLACKHOLE4" 80 20
check "2,000 connections open at once, all alive, IPv4" client hold "$WORLD4" 7000 2000
check "2,000 connections open at once, all alive, IPv6" client hold "$WORLD6" 7000 2000
check "half-close, answer after our FIN, IPv4" as_native 8000000 half-close "$WORLD4" 7000 8000000
check "half-close, answer after our FIN, IPv6" as_native 8000000 half-close "$WORLD6" 7000 8000000
check "half-close by socat" socat_half_close
check "server resets in mid-transfer" as_native ECONNRESET read-until-reset "$WORLD4" 7001
check "client resets in mid-transfer" client_resets
check "client ends, server sees EOF" client_ends
check "no flow outlives its connection" no_flows_left
stop_cleanly
lab_result
