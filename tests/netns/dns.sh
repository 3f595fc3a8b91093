#!/usr/bin/env bash
# DNS through dns_forward, to the resolver that the host's resolv.conf names.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

answer() { in_job dig +short +tries=1 +time=3 "$@" "@$DNS_FORWARD"; }
resolves() { expect "$1" "$(answer "${@:2}")"; }

many() { # 200 lookups, none unanswered
    printf "www.$ZONE A\n%.0s" {1..200} >"$LAB_TMP/names"
    expect 200 "$(in_job dig +short +tries=1 +time=3 "@$DNS_FORWARD" -f "$LAB_TMP/names" |
        grep -cx "$WORLD4")"
}

lab_up
lab_dns
xdp_start
check "A" resolves "$WORLD4" "www.$ZONE" A
check "AAAA" resolves "$WORLD6" "www.$ZONE" AAAA
check "TXT" resolves '"two words"' "text.$ZONE" TXT
check "a name that does not exist" expect NXDOMAIN \
    "$(in_job dig +tries=1 +time=3 "none.$ZONE" | grep -o NXDOMAIN)"
check "over TCP" resolves "$WORLD4" +tcp "www.$ZONE" A
check "by getaddrinfo and resolv.conf" in_job getent ahosts "www.$ZONE"
check "200 lookups" many
check "the resolver's own address works too" expect "$WORLD4" \
    "$(in_job dig +short +tries=1 +time=3 "www.$ZONE" "@$WORLD4")"
stop_cleanly
lab_result
