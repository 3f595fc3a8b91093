#!/usr/bin/env bash
# Readers at 1 MB/s, and readers that stop and go on, on either side: the flows beside them run at
# full speed, nothing is lost, and pasta-xdp does not grow. STOP_SECONDS=60 for a stop that is as
# long as the patience of people.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

STOP_SECONDS=${STOP_SECONDS:-10}
RATE=1000000
MAX_GROWTH_KIB=16384

rss_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$XDP_PID/status"; }

# Eight flows at full speed for SECONDS; each has to move at least LEAST bytes.
eight_flows() { # LEAST SECONDS ARGUMENTS...
    in_job timeout 30 iperf3 -J -c "$WORLD4" -p 5201 -P 8 -t "$2" "${@:3}" \
        >"$LAB_TMP/iperf.json" || {
        jq -r .error "$LAB_TMP/iperf.json"
        return 1
    }
    jq -r '"each of the others, MB: " +
        ([.end.streams[].receiver.bytes / 1e6 | floor | tostring] | join(" "))' \
        "$LAB_TMP/iperf.json"
    jq -e --argjson least "$1" \
        '[.end.streams[].receiver.bytes] | length == 8 and all(. >= $least)' "$LAB_TMP/iperf.json"
}

transfer() { # NAME CURL_ARGUMENTS...: in the background, its pid in SPAWNED
    spawn "$1" "$JOB" curl -sS -H Expect: --max-time $((STOP_SECONDS + 60)) "${@:2}"
}

# A transfer at RATE is under way. It goes on about so beside the eight, which move far more.
beside_slow() { # TAKEN_BYTES_COMMAND IPERF_ARGUMENTS...
    local before after
    sleep 1
    before=$($1)
    eight_flows $((20 * RATE)) 4 "${@:2}"
    after=$($1)
    say "the slow one, bytes: $((after - before))"
    ((after - before >= RATE && after - before <= 8 * RATE))
}

downloaded() { tail -n 1 "$LAB_TMP/slow.log"; }
uploaded() { tail -n 1 "$LAB_TMP/slow-sink-8081.log"; }

end_transfer() { # PID
    kill "$1"
    wait "$1" || true
}

# One reader on each side stands still; the transfers to both wait and have lost nothing later.
stop_both() { # DOWNLOAD_PID UPLOAD_PID
    local stopped
    sleep 1
    stopped=$(stat -c %s "$LAB_TMP/stopped-download")
    say "stopped after $stopped bytes of the download"
    ((stopped > 0 && stopped < 100000000))
    eight_flows $((10 * RATE)) 3
    eight_flows $((10 * RATE)) 3 -R
    sleep $((STOP_SECONDS - 7))
    kill -0 "$1" "$2"
    expect "$stopped" "$(stat -c %s "$LAB_TMP/stopped-download")"
}

complete() { # PID SHA256_COMMAND...
    retry 40 gone "$1" || say "has not ended"
    expect "$(lab_sha256 100MB)" "$("${@:2}")"
}
gone() { ! kill -0 "$1"; }
sha256_of() { sha256sum "$LAB_TMP/$1" | cut -d' ' -f1; }
answer_to() { cat "$LAB_TMP/$1.log"; }

has_not_grown() {
    local now
    now=$(rss_kib)
    say "RSS $RSS_AT_START KiB, now $now"
    ((now - RSS_AT_START <= MAX_GROWTH_KIB))
}

counted() { # NAME: a counter of --stats that is not 0
    grep -Eo "\b$1\b[^0-9]+[1-9][0-9]*" "$LAB_TMP/xdp.log"
}

lab_up
lab_file 100MB 100000000
lab_nginx
lab_iperf 5201
lab_peer 8080 sink
SINK_PID=$SPAWNED
lab_peer 8081 slow-sink "$RATE"
xdp_start
RSS_AT_START=$(rss_kib)

spawn slow "$JOB" python3 "$LAB_DIR/peer.py" slow-get "$WORLD4" 80 /100MB "$RATE"
SLOW_PID=$SPAWNED
check "a slow reader in the namespace stalls nobody" beside_slow downloaded -R
end_transfer "$SLOW_PID"
check "and holds no memory" has_not_grown

transfer slow-upload -T "$LAB_FILES/100MB" "http://$WORLD4:8081/"
SLOW_PID=$SPAWNED
check "a slow reader outside stalls nobody" beside_slow uploaded
check "and holds no more memory than one flow may" has_not_grown
end_transfer "$SLOW_PID"

transfer stopped --limit-rate 20M -o "$LAB_TMP/stopped-download" "http://$WORLD4/100MB"
DOWNLOAD_PID=$SPAWNED
kill -STOP "$SINK_PID"
transfer stopped-upload -T "$LAB_FILES/100MB" "http://[$WORLD6]:8080/"
UPLOAD_PID=$SPAWNED
sleep 1
kill -STOP "$DOWNLOAD_PID"
check "readers on both sides stop for $STOP_SECONDS s, others go on" \
    stop_both "$DOWNLOAD_PID" "$UPLOAD_PID"
check "what waits for them is bounded" has_not_grown
kill -CONT "$SINK_PID" "$DOWNLOAD_PID"
check "the download is complete" complete "$DOWNLOAD_PID" sha256_of stopped-download
check "the upload is complete" complete "$UPLOAD_PID" answer_to stopped-upload
stop_cleanly
check "--stats: closed windows were probed" counted tcp_zero_window_probes
check "--stats: host sockets were full" counted tcp_send_blocked
lab_result
