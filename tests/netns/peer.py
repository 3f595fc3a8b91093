#!/usr/bin/env python3
"""Servers and clients of the end-to-end tests, for what curl, socat and iperf3 cannot say.

Every client prints what it saw, errors by their errno name, so that the same command run natively
and through pasta-xdp can be compared word for word.
"""

import argparse
import errno
import hashlib
import http.server
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import get_type_hints

ANY = "::"
BLOCK = 1 << 20
IP_RECVERR, IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h; the socket module lacks them


def error_name(error: OSError) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer"
    return errno.errorcode.get(error.errno, str(error))


def listener(port: int, backlog: int = 4096) -> socket.socket:
    return socket.create_server((ANY, port), family=socket.AF_INET6, dualstack_ipv6=True,
                                backlog=backlog, reuse_port=False)


def reset(connection: socket.socket) -> None:
    """Closes with RST (zero linger)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def raise_open_files() -> None:
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


# --- servers ----------------------------------------------------------------------------------

class Sink(http.server.BaseHTTPRequestHandler):
    """PUT answers with the SHA-256 of the body."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        digest = hashlib.sha256()
        while left > 0:
            data = self.rfile.read(min(left, BLOCK))
            if not data:
                return
            digest.update(data)
            left -= len(data)
        answer = digest.hexdigest().encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args: object) -> None:
        pass


def read_slowly(connection: socket.socket, rate: int) -> None:
    """Reads to the end at `rate` bytes a second; prints how much it has, each time."""
    taken, start = 0, time.monotonic()
    while data := connection.recv(rate // 20):
        taken += len(data)
        print(taken, flush=True)
        time.sleep(max(0.0, start + taken / rate - time.monotonic()))


class SlowSink(http.server.BaseHTTPRequestHandler):
    """PUT reads the body at `rate` bytes a second."""

    rate = 0

    def do_PUT(self) -> None:
        read_slowly(self.connection, self.rate)


class SinkServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serve_sink(port: int) -> None:
    SinkServer((ANY, port), Sink).serve_forever()


def serve_slow_sink(port: int, rate: int) -> None:
    SlowSink.rate = rate
    SinkServer((ANY, port), SlowSink).serve_forever()


def serve_echo(port: int) -> None:
    """Returns what comes, on any number of connections."""
    raise_open_files()
    selector = selectors.DefaultSelector()
    server = listener(port)
    selector.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is server:
                selector.register(server.accept()[0], selectors.EVENT_READ)
                continue
            try:
                data = key.fileobj.recv(65536)
            except OSError:
                data = b""
            if data:
                key.fileobj.sendall(data)
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()


def serve_udp(port: int, addresses: str, answer: Callable[[bytes, int], bytes]) -> None:
    """One socket per address, so that answers come from the address that was asked."""
    selector = selectors.DefaultSelector()
    for address in addresses.split(","):
        family = socket.getaddrinfo(address, port)[0][0]
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        server.bind((address, port))
        selector.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            data, client = key.fileobj.recvfrom(65536)
            key.fileobj.sendto(answer(data, client[1]), client)


def serve_udp_echo(port: int, addresses: str) -> None:
    serve_udp(port, addresses, lambda data, _port: data)


def serve_source_port(port: int, addresses: str) -> None:
    """Answers with the port the datagram came from."""
    serve_udp(port, addresses, lambda _data, port: str(port).encode())


def serve_resetting(port: int) -> None:
    """Sends 4 MiB, then RST while the client still reads; takes what comes meanwhile."""
    def run(connection: socket.socket) -> None:
        connection.sendall(bytes(BLOCK) * 4)
        connection.recv(1)
        reset(connection)

    server = listener(port)
    while True:
        threading.Thread(target=run, args=(server.accept()[0],), daemon=True).start()


def serve_witness(port: int, report: str) -> None:
    """Reads each connection to its end and appends how it ended to the report file."""
    server = listener(port)
    while True:
        connection, _ = server.accept()
        end = "EOF"
        try:
            while connection.recv(BLOCK):
                pass
        except OSError as error:
            end = error_name(error)
        with open(report, "a", encoding="ascii") as out:
            out.write(end + "\n")
        connection.close()


# --- clients ----------------------------------------------------------------------------------

def connect(host: str, port: int, timeout: float) -> None:
    try:
        with socket.create_connection((host, port), timeout):
            print("connected")
    except OSError as error:
        print(error_name(error))


def hold(host: str, port: int, count: int) -> None:
    """Opens `count` connections, then talks on all of them twice; fails where one is not alive."""
    raise_open_files()
    connections = [socket.create_connection((host, port), 20) for _ in range(count)]
    for turn in range(2):
        for number, connection in enumerate(connections):
            connection.sendall(struct.pack("!II", turn, number))
        for number, connection in enumerate(connections):
            answer = connection.recv(8, socket.MSG_WAITALL)
            if answer != struct.pack("!II", turn, number):
                sys.exit(f"connection {number}, turn {turn}: got {answer!r}")
    print(f"{count} alive")


def udp_echo(host: str, port: int, sizes: list[int]) -> None:
    """Each size must come back byte for byte; a lost datagram is sent again, five times at most."""
    family = socket.getaddrinfo(host, port)[0][0]
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(1)
    client.connect((host, port))
    for size in sizes:
        sent = bytes((size + i * 7) & 0xFF for i in range(size))
        for _ in range(5):
            client.send(sent)
            try:
                if client.recv(65536) == sent:
                    break
                sys.exit(f"size {size}: other bytes came back")
            except TimeoutError:
                continue
        else:
            sys.exit(f"size {size}: no answer")
    print("all back")


def udp_error(host: str, port: int) -> None:
    """Prints the error that a datagram to the port brings back, soft errors too (RECVERR)."""
    family = socket.getaddrinfo(host, port)[0][0]
    client = socket.socket(family, socket.SOCK_DGRAM)
    level, option = ((socket.IPPROTO_IPV6, IPV6_RECVERR) if family == socket.AF_INET6 else
                     (socket.IPPROTO_IP, IP_RECVERR))
    client.setsockopt(level, option, 1)
    client.settimeout(1)
    client.connect((host, port))
    for _ in range(5):
        try:
            client.send(b"anyone?")
            print("answer:", client.recv(100))
            return
        except TimeoutError:
            continue
        except OSError as error:
            print(error_name(error))
            return
    print("no answer")


def source_port(host: str, port: int, local: int) -> None:
    """UDP: prints the source port that the server saw for a datagram sent from `local`."""
    family = socket.getaddrinfo(host, port)[0][0]
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", local))
    client.settimeout(3)
    client.sendto(b"?", (host, port))
    print(client.recv(100).decode())


def many_ports(host: str, port: int, first: int, count: int) -> None:
    """UDP: one datagram from each of `count` ports; every answer must name its port."""
    family = socket.getaddrinfo(host, port)[0][0]
    clients = {}
    for local in range(first, first + count):
        clients[local] = socket.socket(family, socket.SOCK_DGRAM)
        clients[local].bind(("::" if family == socket.AF_INET6 else "0.0.0.0", local))
    for client in clients.values():
        client.sendto(b"?", (host, port))
    answered = 0
    deadline = time.monotonic() + 3
    for local, client in clients.items():
        client.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            if (answer := client.recv(100).decode()) != str(local):
                sys.exit(f"port {local} got the answer for {answer}")
            answered += 1
        except TimeoutError:
            continue
    print(f"{answered} answered")


def read_until_reset(host: str, port: int) -> None:
    """Reads 4 MiB, asks for the RST, prints how the connection ended."""
    with socket.create_connection((host, port), 10) as client:
        left = 4 * BLOCK
        while left > 0:
            left -= len(client.recv(min(left, BLOCK)))
        client.sendall(b"!")
        try:
            print("EOF" if not client.recv(1) else "data")
        except OSError as error:
            print(error_name(error))


def send_then_reset(host: str, port: int) -> None:
    client = socket.create_connection((host, port), 10)
    client.sendall(bytes(BLOCK))
    reset(client)


def slow_get(host: str, port: int, path: str, rate: int) -> None:
    with socket.create_connection((host, port), 10) as client:
        client.settimeout(None)
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        read_slowly(client, rate)


def half_close(host: str, port: int, size: int) -> None:
    """Sends `size` bytes, shuts its direction, and must still receive them all back."""
    with socket.create_connection((host, port), 10) as client:
        sender = threading.Thread(target=lambda: (client.sendall(bytes(size)),
                                                  client.shutdown(socket.SHUT_WR)))
        sender.start()
        received = 0
        while data := client.recv(BLOCK):
            received += len(data)
        sender.join()
    print(received)


COMMANDS = {
    "sink": serve_sink, "slow-sink": serve_slow_sink, "echo": serve_echo,
    "udp-echo-server": serve_udp_echo, "source-port-server": serve_source_port,
    "resetting": serve_resetting, "witness": serve_witness,
    "connect": connect, "hold": hold, "udp-echo": udp_echo, "udp-error": udp_error,
    "source-port": source_port, "many-ports": many_ports, "read-until-reset": read_until_reset,
    "send-then-reset": send_then_reset, "half-close": half_close, "slow-get": slow_get,
}

CONVERT = {str: str, int: int, float: float,
           list[int]: lambda text: [int(part) for part in text.split(",")]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    command = COMMANDS[options.command]
    types = [kind for name, kind in get_type_hints(command).items() if name != "return"]
    values = [CONVERT[kind](text)
              for kind, text in zip(types, options.arguments, strict=True)]
    command(*values)


if __name__ == "__main__":
    main()
