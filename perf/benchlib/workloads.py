"""What is measured. A workload says in which direction it runs and returns what it found; how its
client reaches its server in that direction is the peer's matter."""

import contextlib
import dataclasses
import json
import subprocess
import time
from collections.abc import Iterator, Sequence

from benchlib.lab import MTU, TOOLS, BenchError, Lab, last_line, read_line, stop
from benchlib.meter import Meter, kernel_memory, resident_memory
from benchlib.peers import Ends, Peer
from benchlib.results import Metric, WorkloadFacts

SLACK = 20.0  # seconds that a client may take beyond its measuring time
SMALL_MTU = 1500


@dataclasses.dataclass
class Trial:
    """One workload with one peer, in one round."""

    lab: Lab
    peer: Peer
    ends: Ends
    seconds: float
    meter: Meter  # to be entered while the work is done
    basis: dict[str, float] | None  # native's sample of the workload's basis, in the same round

    def ask(self, *command: object) -> dict:
        """Runs the client, metered, and returns its report."""
        with self.meter:
            return self.lab.run_json(self.ends.client, *command, seconds=self.seconds + SLACK)

    @contextlib.contextmanager
    def server(self, protocol: str, *command: object,
               stdout: int | None = None) -> Iterator[subprocess.Popen]:
        process = self.lab.serve(self.ends.server, self.ends.port, protocol, *command,
                                 stdout=stdout)
        try:
            yield process
        finally:
            stop(process)
            if process.stdout:
                process.stdout.close()


@dataclasses.dataclass(frozen=True)
class Outcome:
    values: dict[str, float]  # metric key -> value
    work: float  # in what the CPU time is divided by; see Workload.cost_unit


class Workload:
    """Subclasses set what describes them and implement run()."""

    group = ""
    label = ""
    metrics: tuple[Metric, ...] = ()
    cost_unit = ""
    mtu = MTU
    quick = True  # part of --quick
    direction = "outward"  # which of Peer's methods tells the ends
    basis: "Workload | None" = None  # whose sample of native, in the same round, this one needs

    @property
    def name(self) -> str:
        return f"{self.group}: {self.label}"

    @property
    def forwarded(self) -> bool:
        """Whether peers have to forward ports for it."""
        return self.direction != "outward"

    def facts(self) -> WorkloadFacts:
        return WorkloadFacts(self.name, self.group, self.label, self.metrics, self.cost_unit)

    def run(self, trial: Trial) -> Outcome:
        raise NotImplementedError


LOST = Metric("lost", "lost", "%", False, relative=False)
FAILED = Metric("failed", "failed", "%", False, relative=False)
SENT = Metric("sent", "sent", "kpps", relative=False)


def share(part: float, whole: float) -> float:
    """Per cent."""
    return 100 * part / whole if whole else 0.0


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class TcpBulk(Workload):
    metrics = (Metric("rate", "", "Gbit/s"),)
    cost_unit = "s/GB"

    def __init__(self, way: str, streams: int, mtu: int = MTU, quick: bool = False) -> None:
        self.group = f"TCP bulk, MTU {mtu}"
        self.label = f"{way}, {counted(streams, 'stream')}"
        self.mtu = mtu
        self.quick = quick
        self._options = ["-P", streams, *(["-R"] if way == "in" else [])]

    def run(self, trial: Trial) -> Outcome:
        ends = trial.ends
        with trial.server("tcp", "iperf3", "-s", "-1", "-p", ends.port):
            report = trial.ask("iperf3", "-J", "-c", ends.address, "-p", ends.port,
                               "-t", max(1, round(trial.seconds)), *self._options)
        received = report["end"]["sum_received"]
        return Outcome({"rate": received["bits_per_second"] / 1e9}, received["bytes"] / 1e9)


class RoundTrip(Workload):
    group = "1-byte round trip"
    metrics = tuple(Metric(quantile, quantile, "us", False) for quantile in ("p50", "p99", "p99.9"))
    cost_unit = "s/1000"

    def __init__(self, protocol: str) -> None:
        self.label = protocol.upper()
        self._protocol = protocol
        if protocol == "udp":
            self.metrics += (LOST,)

    def run(self, trial: Trial) -> Outcome:
        ends, tool = trial.ends, (TOOLS / "pingpong", self._protocol)
        with trial.server(self._protocol, *tool, "serve", ends.listen, ends.port):
            report = trial.ask(*tool, "ask", ends.address, ends.port, trial.seconds)
        times = {"p50": report["p50_us"], "p99": report["p99_us"], "p99.9": report["p999_us"]}
        lost = share(report["lost"], report["lost"] + report["count"])
        return Outcome(times | {"lost": lost}, report["count"] / 1e3)


class ConnectionRate(Workload):
    group = "connect-request-close"
    metrics = (Metric("rate", "", "1/s"), FAILED)
    cost_unit = "s/1000"

    def __init__(self, threads: int) -> None:
        self.label = counted(threads, "thread")
        self._threads = threads

    def run(self, trial: Trial) -> Outcome:
        ends, tool = trial.ends, TOOLS / "connrate"
        with trial.server("tcp", tool, "serve", ends.listen, ends.port):
            report = trial.ask(tool, "ask", ends.address, ends.port, trial.seconds, self._threads)
        done, failed = report["done"], report["failed"]
        if not done:
            raise BenchError("no connection succeeded")
        return Outcome({"rate": done / report["seconds"], "failed": share(failed, failed + done)},
                       done / 1e3)


DRAIN = 0.3  # seconds in which what the sender left behind in queues may still arrive


class UdpFlood(Workload):
    """As fast as one thread can send."""

    group = "UDP flood"
    metrics = (Metric("delivered", "delivered", "kpps"), SENT, LOST)
    cost_unit = "s/Mpkt"

    def __init__(self, size: int, quick: bool = False) -> None:
        self.label = counted(size, "byte")
        self.size = size
        self.quick = quick

    def rate(self, _trial: Trial) -> float | None:
        """Datagrams per second; None for as many as possible."""
        return None

    def run(self, trial: Trial) -> Outcome:
        ends, tool = trial.ends, TOOLS / "udpflood"
        rate = self.rate(trial)
        pace = [] if rate is None else [f"{rate:.0f}"]
        with trial.server("udp", tool, "sink", ends.listen, ends.port,
                          stdout=subprocess.PIPE) as sink:
            sent = trial.ask(tool, "flood", ends.address, ends.port, self.size, trial.seconds,
                             *pace)
            time.sleep(DRAIN)
            sink.terminate()
            got = json.loads(read_line(sink))
        if not got["received"]:
            raise BenchError("nothing arrived")
        return Outcome(
            {"delivered": got["received"] / max(sent["seconds"], got["seconds"]) / 1e3,
             "sent": sent["sent"] / sent["seconds"] / 1e3,
             "lost": share(sent["sent"] - got["received"], sent["sent"])},
            got["received"] / 1e6)


class UdpAtHalfRate(UdpFlood):
    """At half of what native delivered of that size in the same round: nothing is to be lost."""

    group = "UDP at half of native's rate"
    metrics = (LOST, Metric("delivered", "delivered", "kpps", relative=False), SENT)

    def __init__(self, basis: UdpFlood) -> None:
        super().__init__(basis.size, basis.quick)
        self.basis = basis

    def rate(self, trial: Trial) -> float | None:
        if trial.basis is None:
            raise BenchError("native delivered nothing in this round to take the rate from")
        return trial.basis["delivered"] * 1e3 / 2


HOLD_PATIENCE = 30.0  # seconds to open all, and to ask on all
SETTLE = 0.3  # seconds before memory is read
ENOUGH = 0.9  # of the connections; with fewer the figures would not be about that many


class HoldConnections(Workload):
    """All open at a time, then a request on each, one after the other. The memory of a peer's
    processes is what is resident (RSS); the kernel's (Slab) contains the sockets of client and
    server, two for each connection, which is all that native has."""

    group = "Open connections"
    metrics = (Metric("opened", "opened", "1/s"), Metric("p50", "request p50", "us", False),
               Metric("p99", "request p99", "us", False), FAILED,
               Metric("rss", "process memory each", "kB", False),
               Metric("rss_all", "process memory in all", "MB", False, relative=False),
               Metric("kernel", "kernel memory each", "kB", False))
    cost_unit = "s/1000"
    quick = False

    def __init__(self, count: int) -> None:
        self.label = f"{count:,}"
        self._count = count

    def run(self, trial: Trial) -> Outcome:
        ends, tool, peer = trial.ends, TOOLS / "manyconns", trial.peer
        with trial.server("tcp", tool, "serve", ends.listen, ends.port):
            kernel, resident = kernel_memory(), resident_memory(peer.processes())
            client = trial.lab.start(ends.client, tool, "hold", ends.address, ends.port,
                                     self._count, HOLD_PATIENCE, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, log="client.log")
            try:
                with trial.meter:
                    opened = self._report(trial, client, "opened")
                time.sleep(SETTLE)
                kernel = kernel_memory() - kernel
                grown = resident_memory(peer.processes()) - resident
                with trial.meter:
                    print(file=client.stdin, flush=True)
                    asked = self._report(trial, client, "answered")
            finally:
                stop(client)
                client.stdin.close()
                client.stdout.close()
        values = {"opened": opened["opened"] / opened["seconds"], "p50": asked["p50_us"],
                  "p99": asked["p99_us"], "kernel": kernel / opened["opened"] / 1e3,
                  "failed": share(self._count - asked["answered"], self._count)}
        if peer.processes():
            values |= {"rss": grown / opened["opened"] / 1e3, "rss_all": (resident + grown) / 1e6}
        return Outcome(values, (opened["opened"] + asked["answered"]) / 1e3)

    def _report(self, trial: Trial, client: subprocess.Popen, what: str) -> dict:
        """The client's next line; BenchError unless it tells of enough connections."""
        line = read_line(client, HOLD_PATIENCE + SLACK)
        if not line:
            raise BenchError(f"manyconns: {last_line(trial.lab.log('client.log'))}")
        report = json.loads(line)
        if report[what] < ENOUGH * self._count:
            raise BenchError(f"only {report[what]:,} {what} in {HOLD_PATIENCE:.0f} s")
        return report


def transfers(label: str, way: str) -> dict[str, Workload]:
    return {f"{label}, {counted(streams, 'stream')}": TcpBulk(way, streams) for streams in (1, 4)}


def connections(*threads: int) -> dict[str, Workload]:
    return {f"connections, {count} at a time": ConnectionRate(count) for count in threads}


def datagrams() -> dict[str, Workload]:
    floods = {f"UDP, {counted(size, 'byte')}": UdpFlood(size) for size in (18, 1400)}
    return {"UDP echo": RoundTrip("udp"), **floods}


def placed(direction: str, group: str, workloads: dict[str, Workload],
           quick: Sequence[str]) -> list[Workload]:
    """The same workloads in another direction, under these labels; the `quick` ones in --quick."""
    for label, workload in workloads.items():
        workload.direction, workload.group, workload.label = direction, group, label
        workload.quick = label in quick
    return list(workloads.values())


def forwarded_workloads() -> list[Workload]:
    """Those for which peers forward ports. Between loopbacks no frame is needed: a splice."""
    to_namespace = {**transfers("TCP", "out"), "TCP echo": RoundTrip("tcp"),
                    **connections(1, 4, 8), **datagrams()}
    to_host = {**transfers("TCP", "out"), "TCP echo": RoundTrip("tcp"), **connections(4),
               **datagrams()}
    inward = {**transfers("TCP to the namespace", "out"),
              **transfers("TCP from the namespace", "in"), "TCP echo": RoundTrip("tcp"),
              **connections(4)}
    return [*placed("to_namespace", "Splice, host to namespace", to_namespace,
                    ("TCP, 1 stream", "connections, 4 at a time", "UDP, 1,400 bytes")),
            *placed("to_host", "Splice, namespace to host", to_host, ("TCP, 1 stream",)),
            *placed("inward", "Forwarded inbound", inward, ("TCP to the namespace, 1 stream",))]


def all_workloads() -> list[Workload]:
    bulk = [TcpBulk(way, streams, mtu, quick=streams == 1 or (mtu == MTU and streams == 4))
            for mtu in (MTU, SMALL_MTU) for way in ("out", "in") for streams in (1, 4, 16)]
    floods = [UdpFlood(size, quick=size == 18) for size in (18, 1400, 8000)]
    return [*bulk, RoundTrip("tcp"), RoundTrip("udp"), ConnectionRate(1), ConnectionRate(8),
            *floods, *map(UdpAtHalfRate, floods), HoldConnections(10000), *forwarded_workloads()]


def select(words: Sequence[str], quick: bool) -> list[Workload]:
    """Those whose name contains one of the words, case ignored (all without words), and what they
    take their rate from; with `quick` those that are part of it, unless they are asked for."""
    found = [workload for workload in all_workloads()
             if any(word.lower() in workload.name.lower() for word in words)
             or (not words and (workload.quick or not quick))]
    if not found:
        raise BenchError(f"no workload's name contains {' or '.join(words)}; see --list")
    needed = {workload.basis.name for workload in found if workload.basis}
    names = {workload.name for workload in found}
    return [workload for workload in all_workloads() if workload.name in names | needed]
