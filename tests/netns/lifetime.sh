#!/usr/bin/env bash
# How attachments begin and end: by PID, path and name; the target goes away; signals.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

pings() { in_job ping -q -c 3 -i 0.05 -W 2 "$1"; }

ended_by_itself() { retry 10 xdp_gone; }

survives() { sleep 1 && kill -0 "$XDP_PID"; }

given_by() { # ARGUMENTS...
    local status=0
    xdp_run "$@"
    check "$1 ${2:-}: IPv4" pings "$WORLD4"
    check "$1 ${2:-}: IPv6" pings "$WORLD6"
    ip netns del "$JOB"
    check "$1 ${2:-}: the namespace's removal ends it" ended_by_itself
    wait "$XDP_PID" || status=$?
    check "$1 ${2:-}: with status 0" expect 0 "$status"
    lab_make_job
}

lab_up
given_by --netns "/run/netns/$JOB"
given_by --netns "$JOB"

xdp_start
kill -INT "$XDP_PID"
status=0
wait "$XDP_PID" || status=$?
check "SIGINT ends it with status 0" expect 0 "$status"
check "nothing left in the namespace" expect lo "$(job_links)"

xdp_start
check "starts again in the same namespace" pings "$WORLD4"
ip netns del "$JOB"
lab_make_job
check "with a config file, the daemon outlives its namespaces" survives
check "an attachment that ended is said in the log" grep -q '^job: disconnected' \
    "$LAB_TMP/xdp.log"
stop_cleanly

xdp_start
spawn curl "$JOB" curl -s "http://$BLACKHOLE4/"
kill -TERM "$XDP_PID"
status=0
wait "$XDP_PID" || status=$?
check "SIGTERM with a connection under way" expect 0 "$status"
check "nothing left then either" expect lo "$(job_links)"
lab_result
