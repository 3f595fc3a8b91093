#!/usr/bin/env python3
"""Sends malformed frames on an interface, as root in its namespace. Usage: inject.py INTERFACE"""

import random
import socket
import struct
import sys
import time

GATEWAY_MAC = bytes.fromhex("9a559a559a55")
OWN_MAC = bytes.fromhex("02000000000a")
OWN4, WORLD4 = socket.inet_aton("198.51.100.2"), socket.inet_aton("203.0.113.10")
OWN6 = socket.inet_pton(socket.AF_INET6, "2001:db8:1::2")
WORLD6 = socket.inet_pton(socket.AF_INET6, "2001:db8:2::10")
ALL_ROUTERS = socket.inet_pton(socket.AF_INET6, "ff02::2")
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ethernet(ethertype: int, payload: bytes) -> bytes:
    return GATEWAY_MAC + OWN_MAC + struct.pack("!H", ethertype) + payload


def ipv4(protocol: int, payload: bytes, *, version_ihl: int = 0x45, length: int | None = None,
         fragment: int = 0, options: bytes = b"", bad_checksum: bool = False) -> bytes:
    length = 20 + len(options) + len(payload) if length is None else length
    header = struct.pack("!BBHHHBBH4s4s", version_ihl, 0, length, 1, fragment, 64, protocol, 0,
                         OWN4, WORLD4) + options
    value = checksum(header) ^ (0x5555 if bad_checksum else 0)
    return ethernet(0x0800, header[:10] + struct.pack("!H", value) + header[12:] + payload)


def ipv6(next_header: int, payload: bytes, *, length: int | None = None, version: int = 6,
         destination: bytes = WORLD6) -> bytes:
    length = len(payload) if length is None else length
    return ethernet(0x86DD, struct.pack("!IHBB", version << 28, length, next_header, 64) +
                    OWN6 + destination + payload)


def tcp(offset: int = 5, options: bytes = b"", flags: int = 2) -> bytes:
    return struct.pack("!HHIIBBHHH", 40000, 80, 1, 0, offset << 4, flags, 1000, 0, 0) + options


def udp(port: int, payload: bytes, length: int | None = None) -> bytes:
    length = 8 + len(payload) if length is None else length
    return struct.pack("!HHHH", 68 if port == 67 else 40000, port, length, 0) + payload


def truncated() -> list[bytes]:
    whole4 = ipv4(TCP, tcp())
    whole6 = ipv6(TCP, tcp())
    return ([whole4[:size] for size in (14, 15, 20, 33)] +
            [whole6[:size] for size in (14, 30, 53)] +
            [ipv4(TCP, tcp()[:size]) for size in (0, 4, 19)] +
            [ipv4(UDP, bytes(size)) for size in (0, 7)] +
            [ipv4(ICMP, bytes(size)) for size in (0, 7)] +
            [ipv6(UDP, bytes(3)), ipv6(ICMPV6, bytes(2)), ethernet(0x0806, bytes(12))])


def lying_lengths() -> list[bytes]:
    return [
        ipv4(TCP, tcp(), length=1500), ipv4(TCP, tcp(), length=65535), ipv4(TCP, tcp(), length=10),
        ipv6(TCP, tcp(), length=1000), ipv6(TCP, tcp(), length=65535),
        ipv4(UDP, udp(9, b"x" * 10, length=200)), ipv4(UDP, udp(9, b"x" * 10, length=3)),
        ipv6(UDP, udp(9, b"x", length=0)),
        ipv4(TCP, tcp(offset=15)), ipv6(TCP, tcp(offset=15)),
    ]


def bad_headers() -> list[bytes]:
    return [
        ipv4(TCP, tcp(), version_ihl=0x65), ipv4(TCP, tcp(), version_ihl=0x44),
        ipv4(TCP, tcp(), version_ihl=0x40), ipv6(TCP, tcp(), version=4),
        ipv4(TCP, tcp(offset=4)), ipv4(TCP, tcp(offset=0)), ipv6(TCP, tcp(offset=2)),
        ipv4(TCP, tcp(), bad_checksum=True),
    ]


def runaway_options() -> list[bytes]:
    return [
        ipv4(TCP, tcp(offset=6, options=bytes([2, 40, 0, 0]))),  # MSS, longer than the header
        ipv4(TCP, tcp(offset=6, options=bytes([2, 0, 0, 0]))),   # length 0
        ipv4(TCP, tcp(offset=6, options=bytes([1, 1, 1, 3]))),   # kind without length
        ipv4(UDP, udp(67, dhcp(bytes([55, 255, 1])))),           # parameter list runs over
        ipv4(UDP, udp(67, dhcp(bytes([53])))),
        ipv6(UDP, udp(547, bytes([1, 1, 2, 3]) + struct.pack("!HH", 1, 60000)),
             destination=ALL_ROUTERS),
        ipv6(ICMPV6, bytes([133, 0, 0, 0, 0, 0, 0, 0, 1, 0]), destination=ALL_ROUTERS),
    ]


def dhcp(options: bytes) -> bytes:
    return (struct.pack("!BBBBIHH", 1, 1, 6, 0, 7, 0, 0) + bytes(16) + OWN_MAC + bytes(10 + 192) +
            bytes([99, 130, 83, 99]) + options)


def extension_headers() -> list[bytes]:
    def chain(kind: int, count: int) -> bytes:
        """`count` headers of 8 bytes, each naming the same kind as next, then nothing."""
        return bytes([kind, 0, 1, 4, 0, 0, 0, 0]) * count

    return [
        ipv6(60, chain(60, 200)), ipv6(60, chain(60, 8000)), ipv6(0, chain(0, 3)),
        ipv6(60, bytes([TCP, 255, 0, 0, 0, 0, 0, 0])),  # longer than the packet
        ipv6(43, bytes([TCP, 200]) + bytes(6)), ipv6(60, b"\x06"),
        ipv6(200, bytes(40)),
    ]


def others() -> list[bytes]:
    fragments = [ipv4(UDP, bytes(64), fragment=0x2000), ipv4(UDP, bytes(64), fragment=100),
                 ipv6(44, bytes([UDP, 0, 0, 1, 0, 0, 0, 1]) + bytes(64)),
                 ipv6(44, bytes([UDP, 0, 1, 1, 0, 0, 0, 1]) + bytes(64))]
    return fragments + [ethernet(0x88CC, bytes(60)), ethernet(0x8100, bytes(60)),
                        ipv4(132, bytes(40)), ipv4(47, bytes(40))]


def noise(count: int) -> list[bytes]:
    """Valid frames with random bytes changed; the same ones each time."""
    generator = random.Random(1)
    frames = []
    bases = [ipv4(TCP, tcp() + bytes(100)), ipv6(TCP, tcp()), ipv4(UDP, udp(53, bytes(40))),
             ipv6(ICMPV6, bytes([135]) + bytes(31)), ipv4(UDP, udp(67, dhcp(bytes([53, 1, 1])))),
             ethernet(0x0806, bytes.fromhex("0001080006040001") + bytes(20))]
    for _ in range(count):
        frame = bytearray(generator.choice(bases))
        for _ in range(generator.randint(1, 6)):
            frame[generator.randrange(12, len(frame))] = generator.randrange(256)
        frames.append(bytes(frame[:generator.randint(14, len(frame))]))
    return frames


def main() -> None:
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((sys.argv[1], 0))
    known = (truncated() + lying_lengths() + bad_headers() + runaway_options() +
             extension_headers() + others())
    for frame in known:
        sender.send(frame)
        time.sleep(0.002)  # each is to be seen and counted
    for frame in noise(5000):
        sender.send(frame)


if __name__ == "__main__":
    main()
