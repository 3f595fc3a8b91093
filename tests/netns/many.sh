#!/usr/bin/env bash
# Hundreds of namespaces in one daemon, within the limits that Debian gives a process: 1024 file
# descriptors at first and 128 inotify instances.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

MANY=200

many() { # TEXT: a line for each, with its number in place of @
    local i
    for ((i = 1; i <= MANY; i++)); do
        say "${1//@/$i}"
    done
}

many_config() {
    say 'dataplane: {workers: 1}'
    say 'namespaces:'
    many "  - name: many@
    netns: $LAB-many@
    interface: eth0
    forward: {tcp: [auto], udp: [auto], tcp_to_host: [auto], udp_to_host: [auto]}"
}

many_links() { # how many of the namespaces have an interface besides lo
    local name
    while read -r name; do
        ip -n "$name" -br link show dev eth0 2>/dev/null || true
    done < <(many "$LAB-many@") | wc -l
}

reaches_world() { # NUMBER...
    local i
    for i; do
        ip netns exec "$LAB-many$i" ping -q -c 1 -W 5 "$WORLD4"
        ip netns exec "$LAB-many$i" ping -q -c 1 -W 5 "$WORLD6"
    done
}

disconnected() { # COUNT
    expect "$1" "$(grep -c ': disconnected$' "$LAB_TMP/xdp.log")"
}

lab_up
many "$LAB-many@" >>"$LAB_TMP/namespaces"
while read -r name; do
    ip netns add "$name"
done < <(many "$LAB-many@")
many_config >"$LAB_TMP/xdp.yaml"
prlimit --pid $$ --nofile=1024:
xdp_run -c "$LAB_TMP/xdp.yaml" --stats
check "all are connected" expect "$MANY" "$(grep -c '^many[0-9]*: connected$' "$LAB_TMP/xdp.log")"
check "the first, one in the middle and the last reach the world" reaches_world 1 $((MANY / 2)) $MANY

ip netns del "$LAB-many7"
check "one that is removed is disconnected" retry 10 grep -q '^many7: disconnected$' "$LAB_TMP/xdp.log"
check "and only that one" disconnected 1
check "its neighbours are not disturbed" reaches_world 6 8

while read -r name; do
    if [[ $name != *-many[89] ]]; then ip netns del "$name" 2>/dev/null || true; fi
done < <(many "$LAB-many@")
check "so are all but two, removed at once" retry 10 disconnected $((MANY - 2))
check "the two go on" reaches_world 8 9

status=0
xdp_stop >"$LAB_TMP/stop.out" 2>&1 || status=$?
check "SIGTERM ends it with status 0" stopped_with "$status"
check "no interface left in the namespaces" expect 0 "$(many_links)"
lab_result
