#!/usr/bin/env bash
# Makes the lab of tests/netns/lab.sh, says its names in one line, and keeps it until standard input
# closes: also when the benchmark was killed, nothing is left behind.
set -euo pipefail

LAB=${LAB:-pasta-bench-$$}
. "$(dirname "$0")/../../tests/netns/lab.sh"

lab_up
say "$WORLD $HOST $JOB $WORLD4 $HOST4 $LAB_TMP"
while read -r _; do :; done
