#!/usr/bin/env python3
"""Every kind of port rule with every way through it. Usage: forward_table.py rules|run

`rules` prints the lines for the namespace's entry of the config file, `run` makes the connections
with the daemon that has them and prints a line for each. Servers echo: the client compares the
SHA-256 of what came back, the server that of what it saw, and whom it saw.
"""

import contextlib
import functools
import hashlib
import itertools
import math
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from places import (ANY, GATEWAY4, GATEWAY6, HOST, HOST4, HOST6, JOB, LOOPBACK, PATIENCE, TCP, UDP,
                    V4, V6, WORLD, Way, Wrong, error_name, expect, frames, listen, open_socket,
                    run_tests, splice, splice_to_host)

PROTOCOLS = {TCP: "TCP", UDP: "UDP"}
FAMILIES = {V4: "IPv4", V6: "IPv6"}

SMALL, LARGE = 100, 10_000_000
DATAGRAM = 16_000     # bytes of those that make up a LARGE transfer
WINDOW = 16           # of them on the way
RESEND_AFTER = 1.0    # seconds
LOST_AT_MOST = 0.005  # share of datagrams that had to be sent again

RULES = ["7001", "7010-7012", "7020-7022:8020-8022", f"{HOST4}/7030:8030", f"[{HOST6}]/7031:8031",
         "127.0.0.1/7032:8032", "[::1]/7033:8033"]
RULES_TO_HOST = ["7101", "7110-7112", "7120-7122:8120-8122"]
# What each kind of rule makes of a port: the one to connect to and where the server is.
KINDS = {"single port": (7001, 7001), "range": (7012, 7012), "remapped range": (7021, 8021)}
KINDS_TO_HOST = {"single port": (7101, 7101), "range": (7110, 7110),
                 "remapped range": (7122, 8122)}
BOUND = {HOST4: (7030, 8030), HOST6: (7031, 8031), "127.0.0.1": (7032, 8032), "::1": (7033, 8033)}


@dataclass
class Row:
    name: str
    protocol: socket.SocketKind
    way: Way
    port: int
    server_port: int
    size: int


def rules() -> Iterator[str]:
    yield "forward:"
    for key, each in (("tcp", RULES), ("udp", RULES), ("tcp_to_host", RULES_TO_HOST),
                      ("udp_to_host", RULES_TO_HOST)):
        yield f"  {key}: [" + ", ".join(f'"{rule}"' for rule in each) + "]"


# --- servers ------------------------------------------------------------------------------------

class Server(threading.Thread):
    """Echoes until its client is done; remembers whom it saw and the digest of what came."""

    def __init__(self, row: Row) -> None:
        super().__init__(daemon=True)
        self.row = row
        self.digest = hashlib.sha256()
        self.peer: tuple[str, int] = ("nobody", 0)
        self.error = ""
        self.stopping = False
        if row.protocol == TCP:
            self.socket = listen(row.way.server, row.way.at, row.server_port)
        else:
            self.socket = open_socket(row.way.server, UDP, row.way.at, row.server_port)
        self.start()

    def run(self) -> None:
        try:
            if self.row.protocol == TCP:
                self.echo_stream()
            else:
                self.echo_datagrams()
        except OSError as error:
            self.error = error_name(error)
        finally:
            self.socket.close()

    def patiently(self, call: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
        """Waits for a client; TimeoutError when there will be no more."""
        self.socket.settimeout(0.05)
        while True:
            try:
                return call()
            except TimeoutError:
                if self.stopping:
                    raise

    def stop(self) -> None:
        self.stopping = True
        self.join()

    def echo_stream(self) -> None:
        connection, peer = self.patiently(self.socket.accept)
        connection.settimeout(PATIENCE)
        self.peer = peer[:2]
        with connection:
            while data := connection.recv(1 << 18):
                self.digest.update(data)
                connection.sendall(data)

    def echo_datagrams(self) -> None:
        pieces: dict[bytes, bytes] = {}
        with contextlib.suppress(TimeoutError):  # the client is done
            while True:
                data, peer = self.patiently(lambda: self.socket.recvfrom(65536))
                if self.peer[1] not in (0, peer[1]):
                    raise OSError(f"datagrams of two clients, {self.peer} and {peer}")
                self.peer = peer[:2]
                pieces[data[:4]] = data[4:]
                self.socket.sendto(data, peer)
        self.digest.update(joined(pieces))


# --- clients ------------------------------------------------------------------------------------

def exchange_stream(client: socket.socket, data: bytes) -> bytes:
    errors: list[OSError] = []

    def send() -> None:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError as error:
            errors.append(error)  # the reader may not see it any more

    sender = threading.Thread(target=send)
    sender.start()
    digest = hashlib.sha256()
    try:
        while answer := client.recv(1 << 18):
            digest.update(answer)
    finally:
        sender.join()
    if errors:
        raise errors[0]
    return digest.digest()


def joined(pieces: dict[bytes, bytes]) -> bytes:
    """By their numbers."""
    return b"".join(data for _, data in sorted(pieces.items()))


def exchange_datagrams(client: socket.socket, data: bytes) -> bytes:
    """Each begins with its number; the echo acknowledges it, and is asked for again if need be."""
    numbers = [struct.pack("!I", number) for number in range(math.ceil(len(data) / DATAGRAM))]
    datagrams = {number: number + data[i * DATAGRAM:(i + 1) * DATAGRAM]
                 for i, number in enumerate(numbers)}
    came: dict[bytes, bytes] = {}
    sent = resent = 0
    deadline = time.monotonic() + PATIENCE
    client.settimeout(RESEND_AFTER)
    while len(came) < len(numbers):
        while sent < min(len(numbers), len(came) + WINDOW):
            client.send(datagrams[numbers[sent]])
            sent += 1
        try:
            answer = client.recv(65536)
            came[answer[:4]] = answer[4:]
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
            missing = [number for number in numbers[:sent] if number not in came]
            resent += len(missing)
            for number in missing:
                client.send(datagrams[number])
    if resent > LOST_AT_MOST * len(numbers):
        raise Wrong(f"{resent} of {len(numbers)} datagrams had to be sent again")
    return hashlib.sha256(joined(came)).digest()


def run_row(row: Row) -> None:
    server = Server(row)
    try:
        check_row(row, server)
    finally:
        server.stop()


def check_row(row: Row, server: Server) -> None:
    way = row.way
    data = os.urandom(row.size)
    wanted = hashlib.sha256(data).digest()
    client = open_socket(way.client, row.protocol, way.source)
    with client:
        try:
            client.connect((way.target, row.port))
            port = client.getsockname()[1]
            exchange = exchange_stream if row.protocol == TCP else exchange_datagrams
            expect(wanted.hex(), exchange(client, data).hex(), "SHA-256 of what came back")
        except OSError as error:
            raise Wrong(f"the client got {error_name(error)}; "
                        f"the server saw {server.peer} {server.error}") from None
    server.stop()
    expect("", server.error, "the server's error")
    expect(wanted.hex(), server.digest.hexdigest(), "SHA-256 of what the server got")
    address, seen_port = server.peer
    if not address.startswith(way.sees):
        raise Wrong(f"the server saw {address}, not {way.sees}")
    if way.keeps_port:
        expect(port, seen_port, "the client's port as the server saw it")


# --- the table ----------------------------------------------------------------------------------

def special_ways(family: int) -> Iterator[Way]:
    """Clients that the namespace sees in a particular light."""
    host, gateway, loopback, any_address = (
        (HOST4, GATEWAY4, "127.0.0.1", ANY[V4]) if family == V4 else
        (HOST6, GATEWAY6, "::1", ANY[V6]))
    yield Way("the gateway as client", WORLD, gateway, host, JOB, any_address, gateway)
    # The namespace has the host's address itself, so that our own stands for the host.
    yield Way("the host by its own address", HOST, host, host, JOB, any_address,
              GATEWAY4 if family == V4 else "fe80::")
    if family == V4:
        yield Way("splice from 127.0.0.9", HOST, "127.0.0.9", loopback, JOB, loopback, "127.0.0.9")
        yield Way("splice to 127.0.0.8", HOST, loopback, "127.0.0.8", JOB, "127.0.0.8", loopback)
    yield Way("splice, server on all addresses", HOST, loopback, loopback, JOB, any_address,
              loopback)


def row(protocol: socket.SocketKind, family: int, way: Way, kind: str, ports: tuple[int, int],
        size: int) -> Row:
    amount = "10 MB" if size == LARGE else f"{size} bytes"
    return Row(f"{PROTOCOLS[protocol]}, {FAMILIES[family]}, {way.name}, {kind}, {amount}", protocol, way,
               *ports, size)


def table() -> Iterator[Row]:
    for protocol, family, size in itertools.product((TCP, UDP), (V4, V6), (SMALL, LARGE)):
        for way in (frames(family), splice(family)):
            kinds = KINDS | {"bound address": BOUND[way.target]}
            for kind, ports in kinds.items():
                yield row(protocol, family, way, kind, ports, size)
        for kind, ports in KINDS_TO_HOST.items():
            yield row(protocol, family, splice_to_host(family), kind, ports, size)
        gateway = GATEWAY4 if family == V4 else GATEWAY6
        own = HOST4 if family == V4 else HOST6
        mapped = Way("map_host_loopback", JOB, own, gateway, HOST, LOOPBACK[family],
                     LOOPBACK[family], keeps_port=protocol == UDP)
        yield row(protocol, family, mapped, "no rule", (9000, 9000), size)
    for protocol, family in itertools.product((TCP, UDP), (V4, V6)):
        for way in special_ways(family):
            yield row(protocol, family, way, "single port", KINDS["single port"], SMALL)


# --- what nobody answers ------------------------------------------------------------------------

def refusals() -> Iterator[tuple[str, socket.SocketKind, str, str, str, int]]:
    """Name, protocol, the client's namespace, source, target and port."""
    for protocol, family in itertools.product((TCP, UDP), (V4, V6)):
        name = f"{PROTOCOLS[protocol]}, {FAMILIES[family]}"
        own, loopback = (HOST4 if family == V4 else HOST6), LOOPBACK[family]
        for way in (frames(family), splice(family), splice_to_host(family)):
            port = 7101 if way.client == JOB else 7001
            yield (f"{name}, {way.name}, no server: refused", protocol, way.client, way.source,
                   way.target, port)
        yield (f"{name}, only the address of the rule is bound", protocol, HOST, loopback,
               loopback, BOUND[own][0])
        yield (f"{name}, loopback in a rule is not for the world", protocol, WORLD,
               frames(family).source, own, BOUND[loopback][0])


def run_refusal(protocol: socket.SocketKind, namespace: str, source: str, target: str,
                port: int) -> None:
    seen, start = "", time.monotonic()
    try:
        with open_socket(namespace, protocol, source) as client:
            client.connect((target, port))
            if protocol == UDP:
                client.send(b"anyone?")
            seen = "EOF" if not client.recv(1) else "data"
    except OSError as error:
        seen = error_name(error)
    expect("ECONNREFUSED", seen, "the client got")
    if time.monotonic() - start > 3:
        raise Wrong(f"the client waited {time.monotonic() - start:.1f} s")


def main() -> int:
    if sys.argv[1:] == ["rules"]:
        print("\n".join(rules()))
        return 0
    tests = [(each.name, run_row, (each,)) for each in table()]
    tests += [(name, run_refusal, tuple(rest)) for name, *rest in refusals()]
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    return run_tests((name, functools.partial(test, *arguments))
                     for name, test, arguments in tests if wanted in name)


if __name__ == "__main__":
    sys.exit(main())
