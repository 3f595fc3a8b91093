#!/usr/bin/env bash
# Bulk data intact: 1 GiB both ways, 200 downloads at once.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

fetch() { in_job curl -sSf --max-time 60 "$@"; }

download() { # HOST
    fetch "http://$1/1G" | sha256sum | cut -d' ' -f1 >"$LAB_TMP/got"
    expect "$(lab_sha256 1G)" "$(cat "$LAB_TMP/got")"
}

upload() { expect "$(lab_sha256 1G)" "$(fetch -T "$LAB_FILES/1G" "http://$1:8080/")"; }

parallel() { # HOST: one connection each
    local want
    fetch --parallel --parallel-max 200 --parallel-immediate --no-progress-meter \
        -o "$LAB_TMP/part-#1" "http://$1/1M?[1-200]"
    want=$(lab_sha256 1M)
    expect 200 "$(sha256sum "$LAB_TMP"/part-* | grep -c "^$want ")"
    rm "$LAB_TMP"/part-*
}

small() { # 500 connections one after the other
    local i
    for ((i = 0; i < 10; i++)); do
        fetch --no-keepalive -H 'Connection: close' -o /dev/null "http://$1/1M.sha256?[1-50]"
    done
}

lab_up
lab_file 1G 1G
lab_nginx
lab_peer 8080 sink
xdp_start
check "1 GiB download, IPv4" download "$WORLD4"
check "1 GiB download, IPv6" download "[$WORLD6]"
check "1 GiB upload, IPv4" upload "$WORLD4"
check "1 GiB upload, IPv6" upload "[$WORLD6]"
check "200 parallel downloads of 1 MiB, IPv4" parallel "$WORLD4"
check "200 parallel downloads of 1 MiB, IPv6" parallel "[$WORLD6]"
check "500 short connections" small "$WORLD4"
stop_cleanly
lab_result
