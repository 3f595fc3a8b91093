#!/usr/bin/env python3
"""Writes inputs that reach what chance would not find soon: DIRECTORY/TARGET/NUMBER.

The committed corpora grew from these; `fuzz_TARGET -merge=1` keeps what each adds.
Usage: seeds.py DIRECTORY
"""

import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/netns"))
from inject import (ALL_ROUTERS, ICMP, ICMPV6, OWN4, OWN6, OWN_MAC, TCP, UDP, WORLD4, WORLD6, dhcp,
                    ethernet, ipv4, ipv6, tcp, udp)

# parsers_fuzz.cpp, targets[]
(ETHERNET, ARP, IPV4, IPV6, IP, TCP_HEADER, UDP_HEADER, ICMP_HEADER, NDP, DHCP4, DHCP6, NAMES,
 CHECKSUM) = range(13)


def option6(code: int, body: bytes) -> bytes:
    return struct.pack("!HH", code, len(body)) + body


def messages() -> dict[int, list[bytes]]:
    """What follows the IP or UDP header, by the parser that reads it."""
    client = option6(1, bytes([0, 3, 0, 1]) + OWN_MAC)
    server = option6(2, bytes([0, 1, 0, 1, 1, 2, 3, 4]) + OWN_MAC)
    address = option6(5, OWN6 + struct.pack("!II", 100, 200))
    association = option6(3, struct.pack("!III", 1, 0, 0) + address)
    prefixes = option6(25, struct.pack("!III", 2, 0, 0))
    name = option6(39, b"\x01\x03job\x00")
    rapid = option6(14, b"")
    link = bytes([1, 1]) + OWN_MAC
    return {
        DHCP4: [dhcp(options) for options in (
            bytes([53, 1, 1, 55, 9, 1, 3, 6, 12, 15, 26, 119, 121, 252, 255]),
            bytes([53, 1, 1, 80, 0, 81, 6, 1, 0, 0, 106, 111, 98, 57, 2, 5, 220, 255]),
            bytes([53, 1, 3, 50, 4]) + OWN4 + bytes([54, 4, 198, 51, 100, 1, 61, 3, 1, 2, 3, 255]),
            bytes([53, 1, 3, 52, 1, 3, 255]), bytes([53, 1, 8, 255]), b"")],
        DHCP6: [bytes([kind, 0, 0, 9]) + client + rest for kind, rest in (
            (1, association), (1, association + rapid + name), (3, server + association),
            (4, association), (5, server + association), (6, association + prefixes),
            (8, server + association), (11, option6(6, struct.pack("!HH", 23, 24))))],
        NDP: [bytes([133, 0, 0, 0, 0, 0, 0, 0]) + link,
              bytes([135, 0, 0, 0, 0, 0, 0, 0]) + WORLD6 + link,
              bytes([135, 0, 0, 0, 0, 0, 0, 0]) + WORLD6],
        ARP: [bytes.fromhex("0001080006040001") + OWN_MAC + OWN4 + bytes(6) + WORLD4],
        TCP_HEADER: [tcp(), tcp(offset=10, options=bytes.fromhex(
            "020405b40402080a0000000100000002" "01030307"))],
        UDP_HEADER: [udp(53, b"question")],
        ICMP_HEADER: [bytes([8, 0, 0, 0, 0, 7, 0, 1]) + b"ping"],
    }


def frames() -> list[bytes]:
    found = [ethernet(0x0806, body) for body in messages()[ARP]]
    found += [ipv4(UDP, udp(67, body)) for body in messages()[DHCP4]]
    found += [ipv6(UDP, udp(547, body), destination=ALL_ROUTERS) for body in messages()[DHCP6]]
    found += [ipv6(ICMPV6, body, destination=ALL_ROUTERS) for body in messages()[NDP]]
    found += [ipv4(ICMP, messages()[ICMP_HEADER][0]), ipv6(ICMPV6, bytes([128]) + bytes(11))]
    found += [build(TCP, body) for build in (ipv4, ipv6) for body in messages()[TCP_HEADER]]
    found += [ipv4(UDP, udp(9, bytes(40))), ipv4(UDP, udp(9, bytes(16)), fragment=0x2000),
              ipv4(UDP, bytes(16), fragment=3)]
    fragment = struct.pack("!BBHI", UDP, 0, 1, 7)
    return found + [ipv6(60, bytes([UDP, 0, 1, 4, 0, 0, 0, 0]) + udp(9, b"x")),
                    ipv6(44, fragment + udp(9, bytes(16)))]


def raw(frame: bytes) -> bytes:
    """world.cpp: step 3, length with checksums repaired, the frame."""
    return bytes([3]) + struct.pack("!H", len(frame)) + frame


def engine_seeds() -> list[bytes]:
    setup = bytes([0, 0])  # MTU 1500, one shard
    answers = bytes([15, 31, 15])  # transmit on both ports
    return [setup + raw(frame) + answers for frame in frames()]


def parser_seeds() -> list[bytes]:
    found = [bytes([kind]) + body for kind, bodies in messages().items() for body in bodies]
    for frame in frames():
        found.append(bytes([ETHERNET]) + frame)
        found += [bytes([kind]) + frame[14:] for kind in (IPV4, IPV6, IP, CHECKSUM)]
    return found + [bytes([NAMES, 20]) + b"lab.example\nwww.lab.example\nexample\n..\nother"]


def config_seeds() -> list[bytes]:
    found = [b"\0" + path.read_bytes() for path in sorted((ROOT / "configs").glob("*.yaml"))]
    found += [b"\1" + spec for spec in (
        b"none", b"auto", b"all", b"8080:80,2000-2010:3000-3010,~2005", b"127.0.0.1%eth0/22",
        b"[2001:db8::1]/~80", b"127.0.0.1:2222:22")]
    return found + [b"\2" + text for text in (
        b"198.51.100.1/24", b"2001:db8::1/64", b"::ffff:198.51.100.1", b"255.255.240.0",
        b"9a:55:9a:55:9a:55")]


def main() -> None:
    for target, seeds in (("engine", engine_seeds()), ("parsers", parser_seeds()),
                          ("config", config_seeds())):
        directory = pathlib.Path(sys.argv[1]) / target
        directory.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (directory / str(number)).write_bytes(seed)


if __name__ == "__main__":
    main()
