#!/usr/bin/env python3
"""What goes wrong beside forwarded connections. Usage: forward_faults.py DAEMON-PID TEST...

The first namespace of the daemon has ports 7001 and 7002 from the host and 7101 to it, the second
7201. A flow of each way that nobody disturbs goes on all the while and must still be alive in the
end.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from places import (ANY, HOST, HOST4, JOB, LAB, LOOPBACK, PATIENCE, TCP, V4, V6, WORLD, WORLD4,
                    Way, Wrong, connect, error_name, expect, frames, inside, listen, open_socket, splice,
                    splice_to_host)

SECOND = f"{LAB}-second"
WAYS = [frames(V4), frames(V6), splice(V4), splice(V6), splice_to_host(V4), splice_to_host(V6)]
SPARE_PIPES = 2 * 64  # descriptors of pipes that the daemon may keep for the next connections
SOON = 5.0  # seconds within which an end must have been told


def port_of(way: Way) -> int:
    return 7101 if way.client == JOB else 7001


def descriptors(daemon: int, kind: str = "") -> int:
    """Open ones, or those of a kind: socket, pipe."""
    count = 0
    for name in os.listdir(f"/proc/{daemon}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/{daemon}/fd/{name}").startswith(kind)
    return count


def resident(daemon: int) -> int:
    with open(f"/proc/{daemon}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(what())
        time.sleep(0.05)


class Conversation:
    """A connection, both ends here, that answers as long as it lives."""

    def __init__(self, way: Way, port: int) -> None:
        with listen(way.server, way.at, port) as listener:
            self.client = connect(way.client, way.source, way.target, port)
            self.server = listener.accept()[0]
        self.way = way
        self.server.settimeout(PATIENCE)

    def talk(self) -> None:
        try:
            for one, other in ((self.client, self.server), (self.server, self.client)):
                one.sendall(b"still there?")
                expect(b"still there?", other.recv(100), f"{self.way.name}, a flow of others")
        except OSError as error:
            raise Wrong(f"{self.way.name}, a flow of others: {error_name(error)}") from None

    def close(self) -> None:
        self.client.close()
        self.server.close()


@contextlib.contextmanager
def others() -> Iterator[list[Conversation]]:
    conversations = [Conversation(way, port_of(way)) for way in WAYS]
    try:
        yield conversations
        for each in conversations:
            each.talk()
    finally:
        for each in conversations:
            each.close()


@contextlib.contextmanager
def server_process(way: Way, port: int) -> Iterator[int]:
    """A server in a process of its own that sends for ever and never reads."""
    with listen(way.server, way.at, port) as listener:
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                connection = listener.accept()[0]
                connection.settimeout(None)
                while True:
                    connection.sendall(bytes(65536))
            os._exit(0)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def send_until_full(client: socket.socket) -> None:
    client.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            client.send(bytes(65536))


def drain(client: socket.socket, seconds: float) -> str:
    """Reads until the connection ends; says how."""
    client.settimeout(seconds)
    deadline = time.monotonic() + seconds
    try:
        while client.recv(65536):
            if time.monotonic() > deadline:
                return "nothing"
        return "EOF"
    except OSError as error:
        return error_name(error)


# --- tests --------------------------------------------------------------------------------------

def server_killed(_daemon: int) -> None:
    """In mid-transfer, with and without data that it has not read: the end is what it would be
    without us between them."""
    for way, unread in ((way, unread) for way in WAYS for unread in (False, True)):
        port = 7102 if way.client == JOB else 7002
        with server_process(way, port) as pid:
            with connect(way.client, way.source, way.target, port) as client:
                if unread:
                    send_until_full(client)
                client.settimeout(PATIENCE)
                client.recv(65536)
                os.kill(pid, signal.SIGKILL)
                expect("ECONNRESET" if unread else "EOF", drain(client, SOON),
                       f"{way.name}, {way.sees}, with unread data {unread}: the client's end")


def namespace_removed(_daemon: int) -> None:
    """In mid-transfer, its processes being left alive: clients see an end."""
    ways = [Way("frames", WORLD, WORLD4, HOST4, SECOND, ANY[V4], WORLD4),
            Way("splice", HOST, LOOPBACK[V4], LOOPBACK[V4], SECOND, LOOPBACK[V4], LOOPBACK[V4])]
    with contextlib.ExitStack() as stack:
        clients = []
        for port, way in zip((7201, 7202), ways, strict=True):
            stack.enter_context(server_process(way, port))
            clients.append(stack.enter_context(
                connect(way.client, way.source, way.target, port)))
        for client in clients:
            client.recv(65536)
        subprocess.run(["ip", "netns", "del", SECOND], check=True)
        for client, way in zip(clients, ways, strict=True):
            end = drain(client, SOON)
            if end not in ("EOF", "ECONNRESET"):
                raise Wrong(f"{way.name}: the client saw {end}")


def descriptors_exhausted(daemon: int) -> None:
    """More clients than descriptors: some are served, and all is well when they are gone."""
    limit = 256
    subprocess.run(["prlimit", "--pid", str(daemon), f"--nofile={limit}:{limit}"], check=True)
    for way in WAYS:
        port = 7102 if way.client == JOB else 7002
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(listen(way.server, way.at, port))
            clients = []
            for _ in range(limit):
                client = stack.enter_context(open_socket(way.client, TCP, way.source))
                client.connect_ex((way.target, port))  # it may be reset already
                clients.append(client)
            with listener.accept()[0] as server:
                server.sendall(b"hello")
                await_one(clients, way)
        wait_until(lambda: descriptors(daemon) < limit / 2, SOON,
                   lambda: f"{descriptors(daemon)} descriptors of {limit} in use")
    expect("ECONNREFUSED", connect_somehow(JOB, HOST4, WORLD4, 9),
           "a connection out of the namespace afterwards")


def await_one(clients: list[socket.socket], way: Way) -> None:
    """One of them hears something; others may have been reset."""
    left = set(clients)
    while ready := select.select(left, [], [], SOON)[0]:
        for client in ready:
            left.discard(client)
            with contextlib.suppress(OSError):
                if client.recv(10) == b"hello":
                    return
    raise Wrong(f"{way.name}: nobody was served")


def connect_somehow(namespace: str, source: str, target: str, port: int) -> str:
    try:
        connect(namespace, source, target, port).close()
        return "connected"
    except OSError as error:
        return error_name(error)


def half_used(daemon: int) -> None:
    """3,000 connections with servers that do not accept them."""
    before = resident(daemon)
    for way in WAYS[:1] + WAYS[2:3]:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(listen(way.server, way.at, 7002))
            listener.listen(8)
            for _ in range(1500):
                client = stack.enter_context(connect(way.client, way.source, way.target, 7002))
                client.send(b"?")
            growth = resident(daemon) - before
            if growth > 64 << 20:
                raise Wrong(f"{way.name}: {growth >> 20} MiB more memory")


def sum16(data: bytes) -> int:
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def syns(target: str, port: int, count: int) -> Iterator[bytes]:
    """SYN segments in IPv4 packets, each of another client of a network that nobody answers for."""
    destination = socket.inet_aton(target)
    for number in range(count):
        source = socket.inet_aton(f"203.0.113.{100 + number % 100}")
        fields = (1024 + number // 100, port, number, 0, 5 << 4, 2, 64000)
        segment = struct.pack("!HHIIBBHHH", *fields, 0, 0)
        total = sum16(source + destination + struct.pack("!HH", socket.IPPROTO_TCP, 20) + segment)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        segment = struct.pack("!HHIIBBHHH", *fields, total ^ 0xFFFF, 0)
        yield struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0, source,
                          destination) + segment


def tcp_counter(namespace: str, name: str) -> int:
    """Of the namespace's kernel, /proc/net/snmp."""
    with inside(namespace), open("/proc/thread-self/net/snmp", encoding="ascii") as file:
        names, values = (line.split() for line in file if line.startswith("Tcp:"))
    return int(values[names.index(name)])


def syn_flood(daemon: int) -> None:
    """At an open port, and at one that nobody listens on: costs the daemon nothing, and a client
    that means it is served."""
    memory, sockets = resident(daemon), descriptors(daemon, "socket:")
    way, count = frames(V4), 20_000
    received, wrong = tcp_counter(HOST, "InSegs"), tcp_counter(HOST, "InCsumErrors")
    for port in (7001, 7002):
        with listen(way.server, way.at, 7001), inside(WORLD), \
                socket.socket(V4, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            for packet in syns(way.target, port, count):
                raw.sendto(packet, (way.target, 0))
        growth = resident(daemon) - memory
        if growth > 4 << 20 or descriptors(daemon, "socket:") > sockets:
            raise Wrong(f"port {port}: {growth >> 10} KiB more memory, "
                        f"{descriptors(daemon, 'socket:') - sockets} more sockets")
    if tcp_counter(HOST, "InSegs") - received < 2 * count:
        raise Wrong("the flood did not arrive")
    expect(wrong, tcp_counter(HOST, "InCsumErrors"), "segments with a wrong checksum")
    conversation = Conversation(way, 7001)
    conversation.talk()
    conversation.close()


TESTS = {test.__name__: test for test in (server_killed, namespace_removed, descriptors_exhausted,
                                          half_used, syn_flood)}


def main() -> int:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    daemon, test = int(sys.argv[1]), TESTS[sys.argv[2]]
    before, spare = descriptors(daemon, "socket:"), descriptors(daemon, "pipe:") + SPARE_PIPES
    try:
        with others():
            test(daemon)
        wait_until(lambda: descriptors(daemon, "socket:") <= before, 20,
                   lambda: f"{before} sockets before, {descriptors(daemon, 'socket:')} now")
        if descriptors(daemon, "pipe:") > spare:
            raise Wrong(f"{descriptors(daemon, 'pipe:')} pipes are open")
    except Wrong as wrong:
        print(wrong)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
