#!/usr/bin/env bash
# Frames that lie: counted, dropped, and the service goes on.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

inject() { in_job python3 "$LAB_DIR/inject.py" eth0; }

serves() {
    in_job ping -q -c 5 -i 0.02 -W 2 "$WORLD4" | grep ' 5 received'
    in_job ping -q -c 5 -i 0.02 -W 2 "$WORLD6" | grep ' 5 received'
    expect "$(lab_sha256 1M)" \
        "$(in_job curl -sSf --max-time 10 "http://$WORLD4/1M" | sha256sum | cut -d' ' -f1)"
    in_job python3 "$LAB_DIR/peer.py" udp-echo "$WORLD4" 7001 0,1,1400
}

counted() { # NAME LEAST: a counter of --stats
    local value
    value=$(grep -Eo "\b$1\b[^0-9]+[0-9]+" "$LAB_TMP/xdp.log" | grep -Eo '[0-9]+$' | tail -n 1) || true
    say "$1 is ${value:-not printed}, at least $2 expected"
    ((${value:-0} >= $2))
}

lab_up
lab_nginx
lab_peer 7001/udp udp-echo-server "$WORLD4,$WORLD6"
xdp_start
check "serves before" serves
check "malformed frames are sent" inject
check "serves after" serves
check "and still runs" kill -0 "$XDP_PID"
stop_cleanly
check "--stats: truncated frames" counted drop_truncated 5
check "--stats: lying lengths" counted drop_bad_length 3
check "--stats: bad headers" counted drop_bad_header 3
check "--stats: extension headers" counted drop_extension_headers 2
check "--stats: fragments" counted fragments_kept 4
check "--stats: other ethertypes" counted drop_ethertype 1
check "--stats: other protocols" counted drop_protocol 1
check "--stats: statistics of the AF_XDP sockets" grep -Eiq 'rx_(dropped|invalid)' "$LAB_TMP/xdp.log"
lab_result
