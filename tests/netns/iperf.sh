#!/usr/bin/env bash
# iperf3, 1 and 4 streams, both ways: no one-second interval without data.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

flows() { # ARGUMENTS...
    in_job timeout 30 iperf3 -J -c "$WORLD4" -p 5201 -t 4 "$@" >"$LAB_TMP/iperf.json" || {
        jq -r .error "$LAB_TMP/iperf.json"
        return 1
    }
    jq -r '.intervals[].sum | "\(.start | floor) s: \(.bits_per_second / 1e6 | round) Mbit/s"' \
        "$LAB_TMP/iperf.json"
    jq -e '[.intervals[].sum | select(.seconds > 0.5)]
        | length >= 4 and all(.bits_per_second > 0)' "$LAB_TMP/iperf.json"
}

lab_up
lab_iperf 5201
for mtu in 65520 1500; do
    xdp_start "mtu: $mtu"
    check "MTU $mtu, 1 stream out" flows
    check "MTU $mtu, 1 stream in" flows -R
    check "MTU $mtu, 4 streams out" flows -P 4
    check "MTU $mtu, 4 streams in" flows -P 4 -R
    stop_cleanly
done
lab_result
