"""The ways to connect a namespace that are compared. Each is started for a round and stopped after
it, so that an idle one costs the others nothing."""

import os
import pathlib
import signal
import subprocess
import tempfile

from benchlib.lab import ROOT, BenchError, Lab, stop, wait_until

# As root, pasta drops to nobody and cannot join what root made: both run as an ordinary user.
ORDINARY_USER = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
MTU = 65520


class Peer:
    """After start(), `client` is the prefix of commands that run in the connected namespace."""

    name = ""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.client: list[str] = []

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError


class Native(Peer):
    """The namespace that has the veth to world itself."""

    name = "native"

    def start(self) -> None:
        self.client = self.lab.inside(self.lab.host)

    def stop(self) -> None:
        self.client = []


class PastaXdp(Peer):
    name = "pasta-xdp"
    binary = ROOT / "build/release/control/pasta-xdp"
    workers = "auto"
    polling = "adaptive"

    def start(self) -> None:
        config = self.lab.directory / "pasta-xdp.yaml"
        queues = 1 if self.workers in ("auto", "1") else "all"
        config.write_text(
            f"dataplane: {{workers: {self.workers}, polling: {self.polling}}}\n"
            f"namespaces:\n  - {{name: bench, netns: /run/netns/{self.lab.job}, interface: eth0, "
            f"mtu: {MTU}, queues: {queues}}}\n", encoding="utf-8")
        self._daemon = self.lab.start(self.lab.inside(self.lab.host), self.binary, "-c", config,
                                      log="pasta-xdp.log")
        log = self.lab.directory / "pasta-xdp.log"
        wait_until(lambda: "ready" in log.read_text(encoding="utf-8") or
                   self._daemon.poll() is not None, self.name)
        if self._daemon.poll() is not None:
            raise BenchError(log.read_text(encoding="utf-8").strip())
        self.client = self.lab.inside(self.lab.job)

    def stop(self) -> None:
        stop(self._daemon)


def has_default_route(client: list[str]) -> bool:
    return bool(subprocess.run([*client, "ip", "-4", "route", "show", "default"],
                               capture_output=True).stdout)


def enter(pid: int) -> list[str]:
    return ["nsenter", "-t", str(pid), "-n"]


def choose_cubic(lab: Lab, client: list[str]) -> None:
    """In a namespace that the lab did not make itself."""
    lab.run(client, "sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=cubic",
            "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=1024 65535", seconds=5)


class Pasta(Peer):
    name = "pasta"
    binary = "pasta"

    def start(self) -> None:
        with tempfile.NamedTemporaryFile(dir="/tmp", prefix="pasta-bench-", mode="r") as report:
            os.chmod(report.name, 0o666)
            no_ports = [word for option in "tuTU" for word in (f"-{option}", "none")]
            self._process = self.lab.start(
                [*self.lab.inside(self.lab.host), *ORDINARY_USER], self.binary, "--config-net", "-f",
                *no_ports, "--", "sh", "-c", f"readlink /proc/self/ns/net >{report.name}; sleep 3600")
            wait_until(lambda: bool(pathlib.Path(report.name).read_text()) or
                       self._process.poll() is not None, self.name)
            namespace = pathlib.Path(report.name).read_text().strip()
        self._child = self._find(namespace)
        self.client = enter(self._child)
        wait_until(lambda: has_default_route(self.client), self.name)
        choose_cubic(self.lab, self.client)

    def _find(self, namespace: str) -> int:
        """A process in the namespace: pasta's child, whose pid pasta does not tell."""
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "ns/net") == namespace:
                    return int(entry.name)
            except OSError:
                continue  # ended meanwhile
        raise BenchError(f"{self.name}: its namespace is gone")

    def stop(self) -> None:
        # pasta ends with its child; the other way round the child would stay.
        os.kill(self._child, signal.SIGKILL)
        stop(self._process)


class Slirp4netns(Peer):
    name = "slirp4netns"
    binary = "slirp4netns"

    def start(self) -> None:
        user = [*self.lab.inside(self.lab.host), *ORDINARY_USER]
        self._holder = self.lab.start(user, "unshare", "-rUn", "sleep", "3600")
        comm = pathlib.Path(f"/proc/{self._holder.pid}/comm")
        wait_until(lambda: comm.read_text() == "sleep\n", self.name)
        self._process = self.lab.start(user, self.binary, "--configure", f"--mtu={MTU}",
                                       self._holder.pid, "tap0")
        self.client = enter(self._holder.pid)
        wait_until(lambda: has_default_route(self.client), self.name)
        choose_cubic(self.lab, self.client)

    def stop(self) -> None:
        stop(self._process)
        stop(self._holder)


PEERS = (Native, PastaXdp, Pasta, Slirp4netns)
