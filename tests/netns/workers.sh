#!/usr/bin/env bash
# The same service with 2 workers and 2 queues, and in each polling mode.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

fetch() { in_job curl -sSf --max-time 30 "$@"; }

download() { expect "$(lab_sha256 100MB)" "$(fetch "http://$1/100MB" | sha256sum | cut -d' ' -f1)"; }
upload() { expect "$(lab_sha256 100MB)" "$(fetch -T "$LAB_FILES/100MB" "http://$1:8080/")"; }

parallel() {
    fetch --parallel --parallel-max 50 --parallel-immediate --no-progress-meter \
        -o "$LAB_TMP/part-#1" "http://$1/1M?[1-50]"
    expect 50 "$(sha256sum "$LAB_TMP"/part-* | grep -c "^$(lab_sha256 1M) ")"
    rm "$LAB_TMP"/part-*
}

answers() { in_job ping -q -c 20 -i 0.01 -W 2 "$1" | grep ' 20 received'; }

service() { # NAME
    check "$1: ping, IPv4" answers "$WORLD4"
    check "$1: ping, IPv6" answers "$WORLD6"
    check "$1: download" download "$WORLD4"
    check "$1: upload" upload "[$WORLD6]"
    check "$1: 50 parallel downloads" parallel "$WORLD4"
    check "$1: UDP" in_job python3 "$LAB_DIR/peer.py" udp-echo "$WORLD4" 7001 0,1,1400,60000
    check "$1: 500 connections" in_job python3 "$LAB_DIR/peer.py" hold "$WORLD4" 7000 500
}

# Processor time of the daemon over two idle seconds, in hundredths of a second.
idle_ticks() {
    local before after
    before=$(awk '{print $14 + $15}' "/proc/$XDP_PID/stat")
    sleep 2
    after=$(awk '{print $14 + $15}' "/proc/$XDP_PID/stat")
    say "$((after - before)) ticks in 2 s"
    ((after - before <= $1))
}

lab_up
lab_file 100MB 100000000
lab_nginx
lab_peer 8080 sink
lab_peer 7000 echo
lab_peer 7001/udp udp-echo-server "$WORLD4,$WORLD6"

for polling in busy adaptive interrupt; do
    for workers in 1 2; do
        queues=1
        if ((workers == 2)); then queues=all; fi
        LAB_WORKERS=$workers LAB_POLLING=$polling LAB_QUEUES=$queues xdp_start
        service "$polling, $workers workers"
        if [[ $polling != busy ]]; then
            check "$polling, $workers workers: idle costs no more than 5 %" idle_ticks 10
        fi
        stop_cleanly
    done
done
lab_result
