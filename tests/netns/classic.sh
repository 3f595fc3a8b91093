#!/usr/bin/env bash
# The classic use: an ordinary user's `unshare -rUn`, then pasta-xdp PID, then a DHCP client.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

NOBODY=65534

# A shell of an ordinary user in new user and network namespaces; sets SHELL_PID.
unshared_shell() {
    spawn shell "$HOST" setpriv --reuid "$NOBODY" --regid "$NOBODY" --clear-groups \
        unshare -rUn sleep 600
    SHELL_PID=$SPAWNED
    disown "$SHELL_PID" # nobody waits for it, and bash is not to tell that it was killed
    retry 5 has_namespaces
}

has_namespaces() { [[ $(cat "/proc/$SHELL_PID/comm") == sleep ]]; }

# As the user who made the namespaces and is root in them.
in_shell() {
    setpriv --reuid "$NOBODY" --regid "$NOBODY" --clear-groups \
        nsenter -t "$SHELL_PID" -U -n --preserve-credentials "$@"
}

lease() {
    in_shell ip link set eth0 up
    in_shell busybox udhcpc -i eth0 -f -n -q -t 10 -T 1 -s "$LAB_DIR/udhcpc.script"
    in_shell ip -br address show dev eth0 | grep "$HOST4/24"
}

autoconfigured6() { in_shell ip -6 -br address show dev eth0 scope global | grep 2001:db8:1:; }

answers() { in_shell ping -q -c 1 -W 2 "$1"; }

leaving_ends_it() {
    kill -KILL "$SHELL_PID"
    retry 10 xdp_gone
}

ends() {
    local status=0
    check "$1: leaving the shell ends the attachment" leaving_ends_it
    wait "$XDP_PID" || status=$?
    check "$1: with status 0" expect 0 "$status"
}

lab_up
unshared_shell
xdp_run --configure dhcp "$SHELL_PID"
check "DHCP: udhcpc gets the host's address" lease
check "DHCP: ping, IPv4" answers "$WORLD4"
check "DHCP: the kernel configures IPv6 from the router advertisement" retry 10 autoconfigured6
check "DHCP: ping, IPv6" retry 5 answers "$WORLD6"
ends DHCP

unshared_shell
xdp_run "$SHELL_PID"
check "automatic: ping, IPv4" answers "$WORLD4"
check "automatic: ping, IPv6" answers "$WORLD6"
ends automatic
lab_result
