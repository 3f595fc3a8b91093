#!/usr/bin/env bash
# How attachments begin and end: by PID, path and name; the target goes away; signals.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

pings() { in_job ping -q -c 3 -i 0.05 -W 2 "$1"; }

run_and_ping() { # ARGUMENTS...
    xdp_run "$@"
    check "$1 ${2:+given}: IPv4" pings "$WORLD4"
    check "$1 ${2:+given}: IPv6" pings "$WORLD6"
    stop_cleanly
}

ended_by_itself() { retry 10 xdp_gone; }

lab_up
run_and_ping --netns "/run/netns/$JOB"
run_and_ping --netns "$JOB"

xdp_start
kill -INT "$XDP_PID"
status=0
wait "$XDP_PID" || status=$?
check "SIGINT ends it with status 0" expect 0 "$status"
check "nothing left in the namespace" expect lo "$(job_links)"

xdp_start
check "starts again in the same namespace" pings "$WORLD4"
ip netns del "$JOB"
check "the namespace's removal ends its attachment" ended_by_itself
status=0
wait "$XDP_PID" || status=$?
check "and the daemon, with status 0, as it was the last" expect 0 "$status"

lab_make_job
xdp_start
spawn curl "$JOB" curl -s "http://$BLACKHOLE4/"
kill -TERM "$XDP_PID"
status=0
wait "$XDP_PID" || status=$?
check "SIGTERM with a connection under way" expect 0 "$status"
check "nothing left then either" expect lo "$(job_links)"
lab_result
