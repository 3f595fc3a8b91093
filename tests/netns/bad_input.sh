#!/usr/bin/env bash
# What cannot work is said in one clear line, with status 1, and nothing is left behind.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

config() { # TEXT: the next configuration
    printf '%b\n' "$1" >"$LAB_TMP/bad.yaml"
}

# refuses NAME PATTERN COMMAND...: within 10 s, status 1, one line that matches, no trace.
refuses() { check "$1" refused "${@:2}"; }

refused() { # PATTERN COMMAND...
    local status=0 before
    before=$(traces)
    in_host timeout 10 "${@:2}" >"$LAB_TMP/out" 2>"$LAB_TMP/err" || status=$?
    cat "$LAB_TMP/out" "$LAB_TMP/err"
    expect 1 "$status"
    expect 1 "$(cat "$LAB_TMP/out" "$LAB_TMP/err" | wc -l)"
    grep -Eiq -- "$1" "$LAB_TMP/err"
    expect "$before" "$(traces)"
}

traces() {
    ip -n "$HOST" -br link | sort
    ip -n "$JOB" -br link | sort
    ip netns pids "$HOST"
}

namespace() { # LINES...: a valid configuration with LINES in its namespace entry
    config "namespaces:\n  - name: job\n    netns: /run/netns/$JOB\n    interface: eth0"
    printf '    %b\n' "$@" >>"$LAB_TMP/bad.yaml"
}

with_config() { refuses "$1" "$2" "$PASTA_XDP" -c "$LAB_TMP/bad.yaml"; }
with_options() { refuses "$1" "$2" "$PASTA_XDP" "${@:3}"; }

lab_up
config 'datplane:\n  workers: 1'
with_config "unknown key" 'bad\.yaml:1.*datplane'
namespace 'mtuu: 1500'
with_config "unknown key in a namespace" 'bad\.yaml:5.*mtuu'
config 'dataplane:\n  workers: many'
with_config "wrong type: workers" 'bad\.yaml:2.*workers'
config 'namespaces: 7'
with_config "wrong type: namespaces" 'bad\.yaml:1.*namespaces'
config 'dataplane: {polling: sometimes}'
with_config "unknown value" 'bad\.yaml:1.*polling.*busy.*adaptive.*interrupt'
config 'dataplane: [unclosed'
with_config "not YAML" 'bad\.yaml'
namespace 'mtu: 70000'
with_config "MTU 70000" 'bad\.yaml:5.*mtu.*65520'
namespace 'addresses: [198.51.100.300/24]'
with_config "not an address" 'bad\.yaml:5.*addresses'
namespace 'interface: a-name-that-is-too-long-for-linux'
with_config "interface given twice or too long" 'bad\.yaml:5.*interface'
config 'namespaces:\n  - netns: /run/netns/no-such-namespace'
with_config "missing netns" 'no-such-namespace'
config "namespaces:\n  - {name: a, netns: /run/netns/$JOB}\n  - {name: a, netns: /run/netns/$FAR}"
with_config "name used twice" 'bad\.yaml:[0-9]+.*name'
namespace 'pcap: /tmp/x.pcap'
with_config "a key of a later version" 'pcap.*not implemented yet'
config "host: {interface: nosuch0}\nnamespaces:\n  - netns: /run/netns/$JOB"
with_config "missing template interface" 'nosuch0'
refuses "missing file" 'nosuch\.yaml' "$PASTA_XDP" -c "$LAB_TMP/nosuch.yaml"

with_options "unknown option" 'no-such-option' --no-such-option
with_options "missing netns by name" 'no-such-namespace' --netns no-such-namespace
with_options "no such process" '999999999|4194305' 4194305
with_options "reversed ports" 'revers|range|90-80' -t 90-80 --netns "$JOB"
with_options "MTU 70000 as option" '70000' --mtu 70000 --netns "$JOB"

ip -n "$JOB" tuntap add taken0 mode tap
namespace
sed -i 's/eth0/taken0/' "$LAB_TMP/bad.yaml"
with_config "interface name in use" 'taken0'
ip -n "$JOB" link del taken0

namespace
refuses "no privileges" 'privilege|permi|capab|root|CAP_' \
    setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all \
    "$PASTA_XDP" -c "$LAB_TMP/bad.yaml"
lab_result
