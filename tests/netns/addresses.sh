#!/usr/bin/env bash
# Addresses, routes and MTU: copied from the host's template by netlink, or given explicitly.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

global_addresses() { ip -n "$1" -br address show dev eth0 scope global | xargs -n 1 | tail -n +3 | xargs; }

routes() { # NAMESPACE FAMILY: destinations, gateways and the device, without where they come from
    ip -n "$1" "-$2" route show table main dev eth0 |
        sed -E 's/ (proto|src|metric|pref|expires|scope) [^ ]+//g; s/ onlink//; s/ +$//' |
        grep -v ^fe80 | sort
}

link_mtu() { ip -n "$JOB" -j link show dev eth0 | jq '.[0].mtu'; }

same_routes() { expect "$(routes "$HOST" "$1")" "$(routes "$JOB" "$1")"; }

# The network namespaces that the daemon has a thread in or a descriptor of.
namespaces_of() { # PID
    ls -d "/proc/$1"/task/*/ns/net
    find "/proc/$1/fd" -lname 'net:*'
}

native_xdp() { # the daemon's own namespace has the host end, with the program in native mode
    local namespace seen=
    for namespace in $(namespaces_of "$XDP_PID"); do
        seen+=$(nsenter --net="$namespace" bpftool net show)
    done
    say "$seen"
    grep -Eq '\(([0-9]+)\) (driver|native) id [0-9]+' <<<"$seen"
}

answers() { in_job ping -q -c 2 -i 0.05 -W 2 "$1"; }

lab_up
ip -n "$HOST" route add 203.0.113.240/28 via 198.51.100.77
host_links_before=$(ip -n "$HOST" -br link | sort)
xdp_start "mtu: 65520"
check "the host's addresses are on the namespace's interface" \
    expect "$(global_addresses "$HOST")" "$(global_addresses "$JOB")"
check "IPv4 routes are the host's" same_routes 4
check "IPv6 routes are the host's" same_routes 6
check "the MTU is as configured" expect 65520 "$(link_mtu)"
check "lo is up" in_job ping -q -c 1 -W 1 127.0.0.1
check "native XDP on the host end" native_xdp
check "the host sees no new interface" \
    expect "$host_links_before" "$(ip -n "$HOST" -br link | sort)"
stop_cleanly

xdp_start "mtu: 1500" 'addresses: [198.51.100.200/24, "2001:db8:1::200/64"]'
check "explicit addresses" expect "198.51.100.200/24 2001:db8:1::200/64" "$(global_addresses "$JOB")"
check "MTU 1500" expect 1500 "$(link_mtu)"
check "explicit addresses reach the world by IPv4" answers "$WORLD4"
check "explicit addresses reach the world by IPv6" answers "$WORLD6"
stop_cleanly
lab_result
