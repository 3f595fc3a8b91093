"""Sockets in the lab's network namespaces, so that one process holds both ends of a connection."""

import ctypes
import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LAB = os.environ.get("LAB", "")  # the names' prefix, as in lab.sh
WORLD, HOST, JOB = f"{LAB}-world", f"{LAB}-host", f"{LAB}-job"
WORLD4, WORLD6 = "203.0.113.10", "2001:db8:2::10"
GATEWAY4, GATEWAY6 = "198.51.100.1", "2001:db8:1::1"
HOST4, HOST6 = "198.51.100.2", "2001:db8:1::2"

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
V4, V6 = socket.AF_INET, socket.AF_INET6
ANY = {V4: "0.0.0.0", V6: "::"}
LOOPBACK = {V4: "127.0.0.1", V6: "::1"}

CLONE_NEWNET = 0x40000000  # linux/sched.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
PATIENCE = 10.0  # seconds after which a test gives up


class Wrong(Exception):
    """What a test saw instead of what it expects."""


def run_tests(tests: Iterable[tuple[str, Callable[[], object]]]) -> int:
    """Runs each by its name and prints a line for it; the exit status."""
    failed = 0
    for name, test in tests:
        try:
            test()
            print(f"ok {name}", flush=True)
        except Wrong as wrong:
            failed = 1
            print(f"not ok {name}\n    {wrong}", flush=True)
    return failed


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread works in the namespace; sockets made there stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    target = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        _enter(target)
        yield
    finally:
        _enter(home)
        os.close(target)
        os.close(home)


def family_of(address: str) -> socket.AddressFamily:
    return V6 if ":" in address else V4


def open_socket(namespace: str, kind: socket.SocketKind, address: str,
                port: int = 0) -> socket.socket:
    """A socket bound in the namespace; for TCP a closed port is free again at once."""
    with inside(namespace):
        made = socket.socket(family_of(address), kind)
    made.settimeout(PATIENCE)
    if kind == TCP:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    else:
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    if made.family == V6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((address, port))
    return made


def listen(namespace: str, address: str, port: int) -> socket.socket:
    server = open_socket(namespace, TCP, address, port)
    server.listen(4096)
    return server


def connect(namespace: str, source: str, target: str, port: int) -> socket.socket:
    client = open_socket(namespace, TCP, source)
    client.connect((target, port))
    return client


def error_name(error: OSError) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return "nothing"
    return errno.errorcode.get(error.errno, str(error))


def expect(wanted: object, seen: object, what: str) -> None:
    if wanted != seen:
        raise Wrong(f"{what}: expected {wanted}, but got {seen}")


@dataclass
class Way:
    """From a client to a server in the namespace, or the other way round."""

    name: str
    client: str  # namespace
    source: str  # address of the client
    target: str  # address that it speaks to
    server: str  # namespace
    at: str  # address the server is bound to
    sees: str  # address of the client as the server sees it, or how that begins
    keeps_port: bool = True


def frames(family: int) -> Way:
    source, target = (WORLD4, HOST4) if family == V4 else (WORLD6, HOST6)
    return Way("frames", WORLD, source, target, JOB, ANY[family], source)


def splice(family: int) -> Way:
    loopback = LOOPBACK[family]
    return Way("splice", HOST, loopback, loopback, JOB, loopback, loopback)


def splice_to_host(family: int) -> Way:
    loopback = LOOPBACK[family]
    return Way("splice to the host", JOB, loopback, loopback, HOST, loopback, loopback)
