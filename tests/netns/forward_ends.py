#!/usr/bin/env python3
"""How connections of port rules are used and how they end, seen from both sides. Runs with the
daemon that has the rules of forward_table.py and prints a line for each test."""

import functools
import itertools
import socket
import struct
import sys
import threading
from collections.abc import Callable

from places import (JOB, PATIENCE, V4, V6, Way, Wrong, connect, error_name, expect, frames, listen,
                    run_tests, splice, splice_to_host)

AMOUNT = 3_000_000


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_to_end(connection: socket.socket) -> int:
    total = 0
    while data := connection.recv(1 << 18):
        total += len(data)
    return total


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Errors of `work` show at the other end."""
    def run() -> None:
        try:
            work()
        except OSError:
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def send_and_shut(connection: socket.socket) -> None:
    connection.sendall(bytes(AMOUNT))
    connection.shutdown(socket.SHUT_WR)


# --- the tests: `one` and `other` are the two ends, in either order -----------------------------

def interactive(one: socket.socket, other: socket.socket) -> None:
    """Lines one by one, as they are typed, and their echo."""
    def echo() -> None:
        while data := other.recv(1000):
            other.sendall(data.upper())
        other.shutdown(socket.SHUT_WR)

    thread = in_thread(echo)
    for number in range(200):
        line = f"line {number}\n".encode()
        one.sendall(line)
        expect(line.upper(), one.recv(1000), "echo")
    one.shutdown(socket.SHUT_WR)
    expect(b"", one.recv(1), "what comes after our end")
    thread.join(PATIENCE)


def half_close(one: socket.socket, other: socket.socket) -> None:
    """`one` ends its direction first; `other` sees that and sends all of its own afterwards."""
    thread = in_thread(lambda: send_and_shut(one))
    expect(AMOUNT, read_to_end(other), "bytes before the end")
    thread.join(PATIENCE)
    thread = in_thread(lambda: send_and_shut(other))
    expect(AMOUNT, read_to_end(one), "bytes after our end")
    thread.join(PATIENCE)


def resets_while_sending(one: socket.socket, other: socket.socket) -> None:
    one.sendall(bytes(AMOUNT // 10))
    other.recv(1)
    reset(one)
    try:
        read_to_end(other)
        raise Wrong("an orderly end instead of a reset")
    except OSError as error:
        expect("ECONNRESET", error_name(error), "the other end")


def resets_while_receiving(one: socket.socket, other: socket.socket) -> None:
    thread = in_thread(lambda: one.recv(AMOUNT, socket.MSG_WAITALL) and reset(one))
    try:
        while True:
            other.sendall(bytes(AMOUNT))
    except OSError as error:
        # EPIPE comes where the error was fetched before.
        expect("ECONNRESET", error_name(error).replace("EPIPE", "ECONNRESET"), "the other end")
    thread.join(PATIENCE)


def resets_when_idle(one: socket.socket, other: socket.socket) -> None:
    one.sendall(b"?")
    expect(b"?", other.recv(1), "before")
    reset(one)
    try:
        expect("a reset", other.recv(1), "the other end")
    except OSError as error:
        expect("ECONNRESET", error_name(error), "the other end")


def run(test: Callable[[socket.socket, socket.socket], None], way: Way, swapped: bool) -> None:
    port = 7101 if way.client == JOB else 7001
    try:
        with listen(way.server, way.at, port) as listener, \
                connect(way.client, way.source, way.target, port) as client:
            with listener.accept()[0] as server:
                server.settimeout(PATIENCE)
                if swapped:
                    test(server, client)
                else:
                    test(client, server)
    except OSError as error:
        raise Wrong(error_name(error)) from None


def main() -> int:
    kinds = (interactive, half_close, resets_while_sending, resets_while_receiving,
             resets_when_idle)
    tests = []
    for way, family in itertools.product((frames, splice, splice_to_host), (V4, V6)):
        for test, swapped in itertools.product(kinds, (False, True)):
            name = (f"{'IPv4' if family == V4 else 'IPv6'}, {way(family).name}, "
                    f"{'server' if swapped else 'client'} {test.__name__.replace('_', ' ')}")
            tests.append((name, functools.partial(run, test, way(family), swapped)))
    return run_tests(tests)


if __name__ == "__main__":
    sys.exit(main())
