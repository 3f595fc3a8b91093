#!/usr/bin/env bash
# Port rules with traffic: every kind of rule, both protocols, both families, through frames and
# between loopbacks, small and large (forward_table.py), and how connections end (forward_ends.py).
set -euo pipefail
. "$(dirname "$0")/lab.sh"

export LAB PYTHONDONTWRITEBYTECODE=1 # for places.py

tests() { # NAME SCRIPT ARGUMENTS...: its lines become ours
    python3 "$LAB_DIR/$2" "${@:3}" | sed -uE "s/^(not )?ok /&$1: /" || LAB_FAILED=1
}

lab_up
for each in "$WORLD" "$HOST" "$JOB"; do # clients' ports shall not meet those of rules
    ip netns exec "$each" sysctl -q -w net.ipv4.ip_local_port_range="32768 60999"
done
mapfile -t RULES < <(python3 "$LAB_DIR/forward_table.py" rules)
for workers in 1 2; do
    LAB_WORKERS=$workers LAB_QUEUES=all xdp_start "${RULES[@]}"
    tests "$workers workers" forward_table.py run
    tests "$workers workers" forward_ends.py
    stop_cleanly
done
lab_result
