"""What a measurement cost: CPU time of the whole machine, and what kernels dropped meanwhile."""

import dataclasses
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Sequence

TICKS = os.sysconf("SC_CLK_TCK")

# Of /proc/net/{snmp,snmp6,netstat}: what a socket or a queue of connections had no room for.
SOCKET_DROPS = ("Udp.InErrors", "Udp.SndbufErrors", "Udp6InErrors", "Udp6SndbufErrors",
                "TcpExt.ListenDrops", "TcpExt.TCPBacklogDrop")
RETRANSMITS = "Tcp.RetransSegs"


@dataclasses.dataclass(frozen=True)
class Cpu:
    """CPU seconds of all processors since boot, from the first line of /proc/stat (proc(5))."""

    busy: float    # user, nice, system, irq and softirq
    stolen: float  # by the hypervisor; neither ours nor idle

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        return Cpu(self.busy - earlier.busy, self.stolen - earlier.stolen)


def parse_cpu(stat: str, ticks: int = TICKS) -> Cpu:
    """guest and guest_nice are not added: user and nice contain them."""
    words = stat.split("\n", 1)[0].split()
    if len(words) < 9 or words[0] != "cpu":
        raise ValueError("/proc/stat does not begin with a line for all CPUs")
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words[1:9])
    return Cpu((user + nice + system + irq + softirq) / ticks, steal / ticks)


def parse_snmp(text: str) -> dict[str, int]:
    """/proc/net/snmp and netstat: a line of names, then one of values, both with the same prefix;
    /proc/net/snmp6: name and value."""
    counters: dict[str, int] = {}
    names: list[str] = []
    for line in text.splitlines():
        prefix, colon, rest = line.partition(":")
        if not colon:
            name, value = line.split()
            counters[name] = int(value)
        elif names and names[0] == prefix:
            for name, value in zip(names[1:], rest.split(), strict=True):
                counters[f"{prefix}.{name}"] = int(value)
            names = []
        else:
            names = [prefix, *rest.split()]
    return counters


def parse_interface_drops(dev: str) -> int:
    """/proc/net/dev: the sum of all interfaces' received and sent packets that were dropped."""
    total = 0
    for line in dev.splitlines():
        name, colon, rest = line.partition(":")
        if colon:
            columns = rest.split()
            total += int(columns[3]) + int(columns[11])
    return total


def parse_softnet_drops(softnet: str) -> int:
    """/proc/net/softnet_stat: packets that found a CPU's backlog full; hexadecimal."""
    return sum(int(line.split()[1], 16) for line in softnet.splitlines())


@dataclasses.dataclass(frozen=True)
class Losses:
    retransmits: int = 0
    drops: int = 0

    def __add__(self, other: "Losses") -> "Losses":
        return Losses(self.retransmits + other.retransmits, self.drops + other.drops)

    def __sub__(self, earlier: "Losses") -> "Losses":
        return Losses(self.retransmits - earlier.retransmits, self.drops - earlier.drops)


SEPARATOR = "=="
NAMESPACE_FILES = ("cat /proc/net/snmp /proc/net/snmp6 /proc/net/netstat; "
                   f"echo {SEPARATOR}; cat /proc/net/dev")


def parse_losses(text: str) -> Losses:
    """The output of NAMESPACE_FILES."""
    snmp, dev = text.split(SEPARATOR + "\n", 1)
    counters = parse_snmp(snmp)
    drops = sum(counters.get(name, 0) for name in SOCKET_DROPS) + parse_interface_drops(dev)
    return Losses(counters[RETRANSMITS], drops)


def cpu() -> Cpu:
    return parse_cpu(pathlib.Path("/proc/stat").read_text(encoding="ascii"))


def losses(prefixes: Sequence[Sequence[str]]) -> Losses:
    """Of the namespaces that the prefixes enter, and of the CPUs' backlogs."""
    total = Losses(drops=parse_softnet_drops(
        pathlib.Path("/proc/net/softnet_stat").read_text(encoding="ascii")))
    for prefix in prefixes:
        done = subprocess.run([*prefix, "sh", "-c", NAMESPACE_FILES], capture_output=True,
                              text=True)
        if done.returncode == 0:  # else the namespace has no counters to tell any more
            total += parse_losses(done.stdout)
    return total


def parse_kernel_memory(meminfo: str) -> int:
    """/proc/meminfo: bytes of the kernel's own objects (Slab), sockets and what belongs to them."""
    for line in meminfo.splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * 1024
    raise ValueError("/proc/meminfo has no Slab")


def kernel_memory() -> int:
    return parse_kernel_memory(pathlib.Path("/proc/meminfo").read_text(encoding="ascii"))


def resident_memory(pids: Sequence[int]) -> int:
    """Bytes of physical memory that the processes use (RSS); one that ended uses none."""
    total = 0
    for pid in pids:
        try:
            statm = pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
        except OSError:
            continue
        total += int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


class Meter:
    """Adds up CPU time while it is entered, which may be several times."""

    def __init__(self, read: Callable[[], Cpu] = cpu) -> None:
        self._read = read
        self.cpu_seconds = 0.0

    def __enter__(self) -> "Meter":
        self._start = self._read()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.cpu_seconds += (self._read() - self._start).busy


def idle_load(seconds: float) -> float:
    """CPUs that are busy while nothing is measured."""
    before, start = cpu(), time.monotonic()
    time.sleep(seconds)
    return (cpu() - before).busy / (time.monotonic() - start)
