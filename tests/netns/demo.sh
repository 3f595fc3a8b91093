#!/usr/bin/env bash
# The demo: a namespace without any network reaches the world through pasta-xdp, and a table says
# how well. See lab.sh for the picture. Configuration: configs/demo.yaml.
set -euo pipefail

LAB=pasta-demo
. "$(dirname "$0")/lab.sh"

ROWS=()

# step NAME COMMAND...: COMMAND prints the figure, in one line; its status says whether it went well.
step() {
    local name=$1 figure verdict=ok
    shift
    [[ ! -t 1 ]] || printf '  %s...' "$name"
    figure=$("$@" 2>&1) || {
        verdict="NOT OK"
        LAB_FAILED=1
    }
    [[ ! -t 1 ]] || printf '\r\033[K'
    ROWS+=("$name|$(tail -n 1 <<<"$figure" | cut -c1-60)|$verdict")
}

table() {
    local row name figure verdict
    printf '\n%-26s %-62s %s\n' what figure "ok?"
    printf '%s\n' "$(printf -- '-%.0s' {1..96})"
    for row in "${ROWS[@]}"; do
        IFS='|' read -r name figure verdict <<<"$row"
        printf '%-26s %-62s %s\n' "$name" "$figure" "$verdict"
    done
}

addresses() {
    local found
    found=$(ip -n "$JOB" -br address show dev eth0 | awk '{$1 = $2 = ""; print}' | xargs -n 1 |
        grep -v ^fe80 | xargs)
    say "$found"
    [[ " $found " == *" $HOST4/24 "* && " $found " == *" $HOST6/64 "* ]]
}

routes() {
    local via4 via6
    via4=$(ip -n "$JOB" -4 route show default | awk '{print $3; exit}')
    via6=$(ip -n "$JOB" -6 route show default | awk '{print $3; exit}')
    say "default via $via4, $via6"
    [[ -n $via4 && -n $via6 ]]
}

echoes() { # ADDRESS
    local out
    out=$(in_job ping -q -c 20 -i 0.02 -W 2 "$1") || {
        say "no answer from $1"
        return 1
    }
    awk -F'[ /]' '/transmitted/ {sent = $1; got = $4}
        /^rtt/ {rtt = $8}
        END {print got " of " sent " answered, " rtt " ms on average"; exit got != sent}' <<<"$out"
}

lookup() {
    local out
    out=$(in_job dig +tries=1 +time=2 "www.$ZONE" A)
    awk -v want="$WORLD4" '/^www.*\tA\t/ {address = $NF} /Query time/ {time = $4}
        END {print "www.lab.example is " address ", answered in " time " ms"; exit address != want}' \
        <<<"$out"
}

rate() { awk -v bytes="$1" '{printf "%.1f Gbit/s, SHA-256 matches\n", bytes * 8 / $1 / 1e9}'; }

download() { # HOST
    local time
    time=$(in_job curl -sSf --max-time 30 -w '%{time_total}' -o "$LAB_TMP/got" "http://$1/100MB")
    [[ $(sha256sum <"$LAB_TMP/got" | cut -d' ' -f1) == "$(lab_sha256 100MB)" ]] || {
        say "SHA-256 differs"
        return 1
    }
    rate 1e8 <<<"$time"
}

upload() {
    local out
    out=$(in_job curl -sSf --max-time 30 -w '%{time_total}' -T "$LAB_FILES/100MB" \
        "http://$WORLD4:8080/")
    [[ $(head -n 1 <<<"$out") == "$(lab_sha256 100MB)" ]] || {
        say "SHA-256 differs"
        return 1
    }
    tail -n 1 <<<"$out" | rate 1e8
}

bulk() { # [-R]
    in_job iperf3 -J -c "$WORLD4" -p 5201 -t 4 "$@" |
        jq -er 'if .error then .error | halt_error(1)
                else .end.sum_received.bits_per_second / 1e8 | round / 10 | "\(.) Gbit/s" end'
}

start() {
    local began=$EPOCHREALTIME
    xdp_run -c "$LAB_ROOT/configs/demo.yaml"
    STARTED=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "ready in %.0f ms", (b - a) * 1e3}')
}

finish() {
    if xdp_stop >&2 && [[ $(job_links) == lo ]]; then
        ROWS+=("pasta-xdp ends|status 0, nothing left in the namespace|ok")
    else
        ROWS+=("pasta-xdp ends|see above|NOT OK")
        LAB_FAILED=1
    fi
}

main() {
    say "Making the lab: world (nginx, iperf3, DNS), host (pasta-xdp), job (no network)"
    lab_up
    lab_file 100MB 100000000
    lab_nginx
    lab_iperf 5201
    lab_dns
    lab_peer 8080 sink
    start
    ROWS+=("pasta-xdp starts|$STARTED|ok")
    step "addresses it got" addresses
    step "routes it got" routes
    step "ping $WORLD4" echoes "$WORLD4"
    step "ping $WORLD6" echoes "$WORLD6"
    step "DNS by $DNS_FORWARD" lookup
    step "download 100 MB, by name" download "www.$ZONE"
    step "download 100 MB, IPv6" download "[$WORLD6]"
    step "upload 100 MB" upload
    step "iperf3 to the world" bulk
    step "iperf3 from the world" bulk -R
    finish
    table
    lab_result
}

main "$@"
