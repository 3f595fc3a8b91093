#!/usr/bin/env bash
# SIGHUP: what changed in the config file takes effect, what did not is not touched. And a flow-hash
# key that is replaced each second, under connections that go on.
set -euo pipefail
. "$(dirname "$0")/lab.sh"

SECOND=$LAB-second

second_entry() { # LINE...: another namespace for the config file
    printf '  - name: second\n    netns: /run/netns/%s\n    interface: eth0\n' "$SECOND"
    if (($#)); then printf '    %s\n' "$@"; fi
}

reload() { # LINE: waits until the log has it once more
    local before
    before=$(grep -c "$1" "$LAB_TMP/xdp.log" || true)
    kill -HUP "$XDP_PID"
    retry 10 logged "$1" "$before"
}

logged() { (($(grep -c "$1" "$LAB_TMP/xdp.log") > $2)); }

answers() { ip netns exec "$1" ping -q -c 2 -i 0.05 -W 2 "$WORLD4"; }

mtu_of_second() { ip -n "$SECOND" -br link show dev eth0 && ip -n "$SECOND" link show dev eth0 | grep "mtu $1"; }

connection_lives() { # the one that `spawn held` keeps
    kill -0 "$HELD" && grep -q "still alive" "$LAB_TMP/held.log"
}

# A client that sends one byte and wants it back ten times a second, for as long as it is let.
hold_connection() {
    spawn held "$JOB" python3 -u -c "
import socket, time
peer = socket.create_connection(('$WORLD4', 7000), 5)
peer.settimeout(2)
while True:
    peer.sendall(b'x')
    assert peer.recv(1) == b'x', 'the connection ended'
    print('still alive')
    time.sleep(0.1)"
    HELD=$SPAWNED
    retry 5 connection_lives
}

fresh_answer() { : >"$LAB_TMP/held.log" && retry 3 connection_lives; }

lab_up
lab_namespace "$SECOND"
lab_peer 7000 echo
xdp_start
hold_connection

second_entry >>"$LAB_TMP/xdp.yaml"
check "a namespace that was added is connected" reload '^second: connected'
check "it reaches the world" answers "$SECOND"
check "the connection of the other one goes on" fresh_answer

xdp_config >"$LAB_TMP/xdp.yaml"
second_entry "mtu: 1500" >>"$LAB_TMP/xdp.yaml"
check "a namespace that changed is connected anew" reload '^second: connected'
check "with what changed" mtu_of_second 1500
check "the connection still goes on" fresh_answer

echo "nonsense: [" >>"$LAB_TMP/xdp.yaml"
check "a file with an error changes nothing and is said" reload '^not reloaded: .*xdp.yaml:'
check "both still reach the world" answers "$SECOND"
check "the connection goes on after that, too" fresh_answer

xdp_config >"$LAB_TMP/xdp.yaml"
check "a namespace that was removed is disconnected" reload '^second: disconnected'
check "no interface is left in it" expect lo "$(ip -n "$SECOND" -br link | awk '{ print $1 }')"
check "the connection outlived it all" fresh_answer
stop_cleanly

LAB_WORKERS=2 LAB_QUEUES=all xdp_config | sed 's/^dataplane:/&\n  hash_rekey: 1s/' >"$LAB_TMP/xdp.yaml"
xdp_run -c "$LAB_TMP/xdp.yaml" --stats
hold_connection
sleep 3
check "two workers: a connection outlives new hash keys" fresh_answer
check "two workers: new connections after new keys" in_job \
    python3 "$LAB_DIR/peer.py" hold "$WORLD4" 7000 200
check "two workers: the first connection still goes on" fresh_answer
stop_cleanly
lab_result
