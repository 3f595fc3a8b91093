#!/usr/bin/env bash
# Forwarded ports as real programs use them: nginx, curl, iperf3, socat with servers in the
# namespace, clients in the world (frames) and on the host's loopback (splice).
# LAB_SIZE: of the large file, default 256M.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

SIZE=${LAB_SIZE:-256M}

declare -A AT=([frames4]=$HOST4 [frames6]="[$HOST6]" [splice4]=127.0.0.1 [splice6]="[::1]")

client() { # WAY COMMAND...
    case $1 in
        frames*) in_world "${@:2}" ;;
        splice*) in_host "${@:2}" ;;
    esac
}

bare() { tr -d '[]' <<<"${AT[$1]}"; } # the address for those that want it without brackets

fetch() { client "$1" curl -sSf --max-time 60 "${@:2}"; }

download() { # WAY
    fetch "$1" "http://${AT[$1]}:8080/$SIZE" | sha256sum | cut -d' ' -f1 >"$LAB_TMP/got"
    expect "$(lab_sha256 "$SIZE")" "$(cat "$LAB_TMP/got")"
}

upload() { # WAY
    expect "$(lab_sha256 "$SIZE")" "$(fetch "$1" -T "$LAB_FILES/$SIZE" "http://${AT[$1]}:8090/")"
}

parallel() { # WAY: 500 connections at once, all alive, and then as many downloads
    client "$1" python3 "$LAB_DIR/peer.py" hold "$(bare "$1")" 7000 500
    fetch "$1" --parallel --parallel-max 250 --parallel-immediate --no-progress-meter \
        -o "$LAB_TMP/part-#1" "http://${AT[$1]}:8080/small?[1-500]"
    expect 500 "$(sha256sum "$LAB_TMP"/part-* | grep -c "^$(lab_sha256 small) ")"
    rm "$LAB_TMP"/part-*
}

both_ways() { # WAY
    client "$1" timeout 30 iperf3 -J -c "$(bare "$1")" -p 5201 -t 2 --bidir \
        >"$LAB_TMP/iperf.json" || {
        jq -r .error "$LAB_TMP/iperf.json"
        return 1
    }
    jq -e '.end | [.sum_received, .sum_received_bidir_reverse]
        | map(.bits_per_second / 1e6 | round) | (debug | all(. > 100))' "$LAB_TMP/iperf.json"
}

answer_after_end() { # WAY: the request ends first, the answer comes after
    expect 20 "$(seq 1 20 | client "$1" socat -t 10 - "TCP:${AT[$1]}:7003" | tail -n 1)"
}

terminal() { # WAY: a shell on a terminal of the namespace; each line waits for the one before
    client "$1" python3 - "$(bare "$1")" <<'PYTHON'
import socket, sys
shell = socket.create_connection((sys.argv[1], 7004), 10)
lines = shell.makefile("r")
for number in range(20):
    shell.sendall(b"echo $((%d * 3))\n" % number)
    while (line := lines.readline()).strip() != str(number * 3):
        print(repr(line))
        if not line:
            sys.exit(f"no answer to line {number}")
shell.sendall(b"exit\n")
PYTHON
}

lab_up
lab_file "$SIZE" "$SIZE"
lab_file small 10000
SERVERS=$JOB
lab_nginx
lab_peer 8090 sink
lab_peer 7000 echo
lab_iperf 5201
spawn sort "$JOB" socat TCP6-LISTEN:7003,ipv6only=0,fork,reuseaddr SYSTEM:"sleep 0.3; sort -n"
spawn shell "$JOB" socat TCP6-LISTEN:7004,ipv6only=0,fork,reuseaddr \
    EXEC:"env PS1= busybox sh",pty,setsid,stderr,echo=0
retry 5 listening 7003
retry 5 listening 7004
xdp_start 'forward: {tcp: ["8080:80", 8090, 7000, 5201, "7003-7004"]}'
for way in frames4 frames6 splice4 splice6; do
    check "$way: download of $SIZE from nginx" download "$way"
    check "$way: upload of $SIZE" upload "$way"
    check "$way: 500 connections at once, 500 downloads" parallel "$way"
    check "$way: iperf3 in both directions at once" both_ways "$way"
    check "$way: half-close by socat" answer_after_end "$way"
    check "$way: a shell on a terminal" terminal "$way"
done
stop_cleanly
lab_result
