#!/usr/bin/env bash
# The DHCPv4, DHCPv6 and router-advertisement servers, against real clients: busybox udhcpc,
# dhcpcd for both families, dhclient for DHCPv6, and the kernel's own autoconfiguration.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

forget_configuration() {
    ip -n "$JOB" link set eth0 down
    ip -n "$JOB" address flush dev eth0
    # dhcpcd does this itself and switches it off in the kernel.
    ip -n "$JOB" link set eth0 addrgenmode eui64
    in_job sysctl -q -w net.ipv6.conf.eth0.accept_ra=1
    ip -n "$JOB" link set eth0 up
}

has() { ip -n "$JOB" -br address show dev eth0 | grep -F " $1"; }
answers() { in_job ping -q -c 1 -W 2 "$1"; }

udhcpc_leases() {
    LEASE=$LAB_TMP/lease in_job busybox udhcpc -i eth0 -f -n -q -t 10 -T 1 -O mtu -O search \
        -s "$LAB_DIR/udhcpc.script"
}

lease_says() {
    cat "$LAB_TMP/lease"
    grep -q "^$1" "$LAB_TMP/lease"
}

# dhcpcd keeps leases, sockets and pid files in fixed places: give it empty ones of its own.
start_dhcpcd() {
    cat >"$LAB_TMP/dhcpcd.conf" <<CONF
duid
noipv4ll
nohook resolv.conf, hostname, ntp.conf
option rapid_commit, domain_name_servers, domain_search, interface_mtu
ipv6rs
CONF
    spawn dhcpcd "$JOB" unshare -m sh -c "
        mount -t tmpfs tmpfs /var/lib/dhcpcd && mount -t tmpfs tmpfs /run &&
        exec dhcpcd -B -f $LAB_TMP/dhcpcd.conf eth0"
    DHCPCD=$SPAWNED
}

stop_dhcpcd() {
    kill -TERM "$DHCPCD"
    wait "$DHCPCD" || true
}

dhcpcd_got() {
    retry 15 has "$1" || {
        cat "$LAB_TMP/dhcpcd.log"
        return 1
    }
}

dhclient_leases() {
    in_job dhclient -6 -1 -d -e LEASE="$LAB_TMP/lease6" -sf "$LAB_DIR/dhclient.script" \
        -lf "$LAB_TMP/dhclient6.leases" -pf "$LAB_TMP/dhclient6.pid" -cf /dev/null eth0 &
    retry 15 has "$HOST6/128"
    kill -TERM $!
    grep -Fx "search $ZONE." "$LAB_TMP/lease6"
}

autoconfigured() { # an address that the kernel made from the prefix, and a router
    ip -n "$JOB" -6 address show dev eth0 scope global | grep -E '2001:db8:1:.*/64.*(mngtmpaddr|dynamic)' &&
        ip -n "$JOB" -6 route show default | grep 'via fe80:.*proto ra'
}

lab_up
in_job sysctl -q -w net.ipv6.conf.default.addr_gen_mode=0
xdp_start "configure: dhcp" "mtu: 9000"
ip -n "$JOB" link set eth0 up

check "SLAAC: address and router" retry 10 autoconfigured
check "SLAAC: MTU of the advertisement" expect 9000 \
    "$(in_job cat /proc/sys/net/ipv6/conf/eth0/mtu)"
check "SLAAC: ping" retry 5 answers "$WORLD6"

check "udhcpc: lease" udhcpc_leases
check "udhcpc: address" lease_says "ip $HOST4/24"
check "udhcpc: router" lease_says "router $GATEWAY4"
check "udhcpc: MTU" lease_says "mtu 9000"
check "udhcpc: name server" lease_says "dns $DNS_FORWARD"
check "udhcpc: search list" lease_says "search $ZONE"
check "udhcpc: ping" answers "$WORLD4"

forget_configuration
start_dhcpcd
check "dhcpcd: IPv4 address" dhcpcd_got "$HOST4/24"
check "dhcpcd: IPv6 address" dhcpcd_got "$HOST6/128"
check "dhcpcd: ping, IPv4" retry 5 answers "$WORLD4"
check "dhcpcd: ping, IPv6" retry 5 answers "$WORLD6"
stop_dhcpcd

forget_configuration
check "dhclient -6: address and search list" dhclient_leases
check "dhclient -6: ping" retry 10 answers "$WORLD6"
stop_cleanly
lab_result
