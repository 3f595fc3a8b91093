"""What is measured. A workload runs once for a peer and returns a value for each of its metrics."""

import dataclasses
import json
import subprocess

from benchlib.lab import TOOLS, Lab, stop
from benchlib.peers import Peer

IPERF_PORT = 5201
TOOL_PORT = 6000
SLACK = 20.0  # seconds that a client may take beyond its measuring time


@dataclasses.dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    higher_is_better: bool = True


class Workload:
    """`metrics` name the values that run() returns, in that order."""

    metrics: tuple[Metric, ...] = ()

    def run(self, lab: Lab, peer: Peer, seconds: float) -> tuple[float, ...]:
        raise NotImplementedError


class TcpBulk(Workload):
    def __init__(self, direction: str, streams: int) -> None:
        plural = "stream" if streams == 1 else "streams"
        self.metrics = (Metric(f"TCP {direction}, {streams} {plural}", "Gbit/s"),)
        self._arguments = ["-P", streams, *(["-R"] if direction == "in" else [])]

    def run(self, lab: Lab, peer: Peer, seconds: float) -> tuple[float, ...]:
        server = lab.serve(IPERF_PORT, "tcp", "iperf3", "-s", "-1", "-p", IPERF_PORT)
        try:
            report = lab.run_json(peer.client, "iperf3", "-J", "-c", lab.address, "-p", IPERF_PORT,
                                  "-t", max(1, round(seconds)), *self._arguments,
                                  seconds=seconds + SLACK)
        finally:
            stop(server)
        return (report["end"]["sum_received"]["bits_per_second"] / 1e9,)


class RoundTrip(Workload):
    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self.metrics = tuple(Metric(f"{protocol.upper()} 1-byte round trip, {quantile}", "us", False)
                             for quantile in ("p50", "p99"))

    def run(self, lab: Lab, peer: Peer, seconds: float) -> tuple[float, ...]:
        tool = (TOOLS / "pingpong", self._protocol)
        server = lab.serve(TOOL_PORT, self._protocol, *tool, "serve", lab.address, TOOL_PORT)
        try:
            report = lab.run_json(peer.client, *tool, "ask", lab.address, TOOL_PORT, seconds,
                                  seconds=seconds + SLACK)
        finally:
            stop(server)
        return report["p50_us"], report["p99_us"]


class ConnectionRate(Workload):
    def __init__(self, threads: int) -> None:
        plural = "thread" if threads == 1 else "threads"
        self.metrics = (Metric(f"connect-request-close, {threads} {plural}", "1/s"),)
        self._threads = threads

    def run(self, lab: Lab, peer: Peer, seconds: float) -> tuple[float, ...]:
        tool = TOOLS / "connrate"
        server = lab.serve(TOOL_PORT, "tcp", tool, "serve", lab.address, TOOL_PORT)
        try:
            report = lab.run_json(peer.client, tool, "ask", lab.address, TOOL_PORT, seconds,
                                  self._threads, seconds=seconds + SLACK)
        finally:
            stop(server)
        return (report["per_second"],)


class UdpFlood(Workload):
    def __init__(self, size: int) -> None:
        self.metrics = (Metric(f"UDP {size} bytes flood, delivered", "kpps"),)
        self._size = size

    def run(self, lab: Lab, peer: Peer, seconds: float) -> tuple[float, ...]:
        tool = TOOLS / "udpflood"
        server = lab.serve(TOOL_PORT, "udp", tool, "sink", lab.address, TOOL_PORT,
                           output=subprocess.PIPE)
        try:
            lab.run(peer.client, tool, "flood", lab.address, TOOL_PORT, self._size, seconds,
                    seconds=seconds + SLACK)
            report = json.loads(server.communicate(timeout=SLACK)[0])
        finally:
            stop(server)
        return (report["received"] / max(report["seconds"], 1e-9) / 1e3,)


WORKLOADS = (
    TcpBulk("out", 1), TcpBulk("out", 4), TcpBulk("in", 1), TcpBulk("in", 4),
    RoundTrip("tcp"), RoundTrip("udp"),
    ConnectionRate(1), ConnectionRate(8),
    UdpFlood(18),
)
