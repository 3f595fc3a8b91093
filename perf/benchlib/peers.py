"""The ways to connect a namespace that are compared. Each is started for a part of a round and
stopped after it, so that an idle one costs the others nothing."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

from benchlib.lab import (FAIR, PATIENCE, ROOT, BenchError, Lab, last_line, read_line, stop,
                          wait_until)

# As root, pasta drops to nobody and cannot join what root made: both run as an ordinary user.
ORDINARY_USER = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
PORT = 6000  # and the few after it


@dataclasses.dataclass(frozen=True)
class Ends:
    """Where a workload's client and server run (prefixes of commands), and the address and port by
    which the client reaches the server. Workloads use `port` and the seven after it."""

    client: list[str]
    server: list[str]
    address: str
    port: int = PORT


class Peer:
    """One of these methods per direction (outward) tells a workload where its ends are. A direction
    that needs ports to be forwarded is a further method, and start() gives the peer the options."""

    kind = ""
    binary = ""  # the default one

    def __init__(self, lab: Lab, name: str, binary: str) -> None:
        self.lab = lab
        self.name = name
        self.binary = binary
        self.namespace: list[str] = []  # after start(): runs a command in the connected namespace

    def start(self, mtu: int) -> None:
        """Connects a namespace by an interface with this MTU."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends what start() began. BenchError when it had ended before, or ends badly."""

    def outward(self) -> Ends:
        """From the namespace to a server in world."""
        return Ends(self.namespace, self.lab.inside(self.lab.world), self.lab.address)

    def processes(self) -> list[int]:
        """Whose memory is the price of the connection."""
        return []

    def counters(self) -> dict[str, int]:
        """After stop(): what it says itself that it lost."""
        return {}

    @classmethod
    def version(cls, binary: str) -> str:
        return described(binary)


class Native(Peer):
    """The namespace that has the veth to world itself."""

    kind = "native"

    def start(self, mtu: int) -> None:
        self.namespace = self.lab.inside(self.lab.host)

    @classmethod
    def version(cls, binary: str) -> str:
        return "veth of the kernel"


class PastaXdp(Peer):
    kind = "pasta-xdp"
    binary = str(ROOT / "build/release/control/pasta-xdp")
    workers = "auto"
    polling = "adaptive"

    def start(self, mtu: int) -> None:
        config = self.lab.directory / "pasta-xdp.yaml"
        queues = 1 if self.workers in ("auto", "1") else "all"
        config.write_text(
            f"dataplane: {{workers: {self.workers}, polling: {self.polling}}}\n"
            f"namespaces:\n  - {{name: bench, netns: /run/netns/{self.lab.job}, interface: eth0, "
            f"mtu: {mtu}, queues: {queues}}}\n", encoding="utf-8")
        self._counters: dict[str, int] = {}
        self._daemon = self.lab.start(self.lab.inside(self.lab.host), self.binary, "-c", config,
                                      "--stats", log="pasta-xdp.log")
        try:
            wait_until(lambda: "ready" in self._log() or self._daemon.poll() is not None, self.name)
            if self._daemon.poll() is not None:
                raise BenchError(last_line(self._log()) or f"status {self._daemon.returncode}")
        except BenchError:
            stop(self._daemon)
            raise
        self.namespace = self.lab.inside(self.lab.job)

    def _log(self) -> str:
        return self.lab.log("pasta-xdp.log")

    def stop(self) -> None:
        stop(self._daemon)
        self._counters = parse_counters(self._log())
        if self._daemon.returncode != 0:
            raise BenchError(f"ended with status {self._daemon.returncode}: "
                             f"{last_line(self._log())}")

    def processes(self) -> list[int]:
        return [self._daemon.pid]

    def counters(self) -> dict[str, int]:
        return self._counters


# Of pasta-xdp --stats: what was lost, or had to be sent again; drop_ignored needs no answer.
LOSS_COUNTER = re.compile(
    r"drop_(?!ignored)\w+|udp_send_failed|tcp_retransmits|tcp_timed_out|reassembly_failed|"
    r"socket_exhausted|link_rx_oversize|link_fill_starved|bpf_no_socket|bpf_runt|"
    r"xdp_rx_dropped|xdp_\w+_invalid_descs|xdp_rx_ring_full|xdp_rx_fill_ring_empty_descs")


def parse_counters(log: str) -> dict[str, int]:
    """Lines of `name  value  meaning`; only losses that happened."""
    found = re.findall(r"^(\w+) +(\d+)  \S", log, re.MULTILINE)
    return {name: int(value) for name, value in found
            if int(value) and LOSS_COUNTER.fullmatch(name)}


def has_default_route(namespace: list[str]) -> bool:
    return bool(subprocess.run([*namespace, "ip", "-4", "route", "show", "default"],
                               capture_output=True).stdout)


def enter(pid: int) -> list[str]:
    return ["nsenter", "-t", str(pid), "-n"]


def make_fair(lab: Lab, namespace: list[str]) -> None:
    """The lab's settings, in a namespace that the lab did not make itself."""
    lab.run(namespace, "sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=cubic",
            "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=1024 65535", *FAIR,
            seconds=PATIENCE)


class Pasta(Peer):
    kind = "pasta"
    binary = "pasta"

    def start(self, mtu: int) -> None:
        no_ports = [word for option in "tuTU" for word in (f"-{option}", "none")]
        # The command ends when its standard input does: also when this program was killed.
        self._process = self.lab.start(
            [*self.lab.inside(self.lab.host), *ORDINARY_USER], self.binary, "--config-net", "-f",
            "-m", mtu, *no_ports, "--",
            "sh", "-c", "readlink /proc/self/ns/net; exec cat >/dev/null",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, log="pasta.log")
        try:
            namespace = read_line(self._process).strip()
            if not namespace:
                raise BenchError(last_line(self.lab.log("pasta.log")) or "ended at once")
            self.namespace = enter(process_in(namespace))
            wait_until(lambda: has_default_route(self.namespace), self.name)
            make_fair(self.lab, self.namespace)
        except BenchError:
            self.stop()
            raise

    def stop(self) -> None:
        self._process.stdin.close()  # pasta ends with its command
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            stop(self._process)
        self._process.stdout.close()

    def processes(self) -> list[int]:
        return [self._process.pid]


def process_in(namespace: str) -> int:
    """A process in the network namespace: the command of pasta, whose pid pasta does not tell."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns/net") == namespace:
                return int(entry.name)
        except OSError:
            continue  # ended meanwhile
    raise BenchError("its namespace is gone")


class Slirp4netns(Peer):
    kind = "slirp4netns"
    binary = "slirp4netns"

    def start(self, mtu: int) -> None:
        user = [*self.lab.inside(self.lab.host), *ORDINARY_USER]
        self._holder = self.lab.start(user, "unshare", "-rUn", "cat", stdin=subprocess.PIPE)
        self._process: subprocess.Popen | None = None
        try:
            comm = pathlib.Path(f"/proc/{self._holder.pid}/comm")
            wait_until(lambda: comm.read_text(encoding="utf-8") == "cat\n", self.name)
            self._process = self.lab.start(user, self.binary, "--configure", f"--mtu={mtu}",
                                           self._holder.pid, "tap0", log="slirp4netns.log")
            self.namespace = enter(self._holder.pid)
            wait_until(lambda: has_default_route(self.namespace) or
                       self._process.poll() is not None, self.name)
            if self._process.poll() is not None:
                raise BenchError(last_line(self.lab.log("slirp4netns.log")) or "ended at once")
            make_fair(self.lab, self.namespace)
        except BenchError:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process:
            stop(self._process)
        self._holder.stdin.close()
        stop(self._holder)

    def processes(self) -> list[int]:
        return [self._process.pid]


KINDS: tuple[type[Peer], ...] = (Native, PastaXdp, Pasta, Slirp4netns)
DEFAULT_NAMES = tuple(kind.kind for kind in KINDS)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A peer that was asked for."""

    name: str
    kind: type[Peer]
    binary: str


def kind_of(binary: str) -> type[Peer]:
    """By the file's name, else by what its --help says."""
    name = pathlib.Path(binary).name
    said = ""
    if not re.search("slirp4netns|pasta", name):
        try:
            done = subprocess.run([binary, "--help"], capture_output=True, text=True,
                                  timeout=PATIENCE)
            said = done.stdout + done.stderr
        except (OSError, subprocess.TimeoutExpired):
            pass
    if "slirp4netns" in name or "slirp4netns" in said:
        return Slirp4netns
    if "pasta-xdp" in name or "AF_XDP" in said:
        return PastaXdp
    if "pasta" in name:  # not only in what it says: passt is pasta when its name says so
        return Pasta
    raise BenchError(f"{binary}: neither pasta (its file must be called so), slirp4netns "
                     "nor pasta-xdp")


def parse_peer(text: str) -> Choice:
    """NAME=PATH of --peer."""
    name, equals, path = text.partition("=")
    if not equals or not re.fullmatch(r"[\w.+-]+", name):
        raise BenchError(f"--peer {text}: give NAME=PATH")
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        raise BenchError(f"--peer {text}: {path} cannot be executed")
    path = os.path.abspath(path)
    return Choice(name, kind_of(path), path)


def choose(wanted: str, added: list[str]) -> list[Choice]:
    """The default peers and those of --peer; of these the `wanted` ones, separated by commas, where
    it is not empty. Native comes first: what it delivered sets the rate of other workloads."""
    choices = [Choice(kind.kind, kind, kind.binary) for kind in KINDS] + [*map(parse_peer, added)]
    names = [choice.name for choice in choices]
    if len(set(names)) < len(names):
        raise BenchError(f"two peers have the same name: {', '.join(names)}")
    chosen = wanted.split(",") if wanted else names
    for name in chosen:
        if name not in names:
            raise BenchError(f"no peer is called {name}; there are {', '.join(names)}")
    return [choice for choice in choices if choice.name in chosen]


def described(binary: str) -> str:
    """The first line of --version, and the Debian package that the file is of, if any."""
    path = shutil.which(binary)
    if path is None:
        return "not installed"
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=PATIENCE)
        words = [(done.stdout or done.stderr).strip().partition("\n")[0]]
    except (OSError, subprocess.TimeoutExpired):
        words = ["version unknown"]
    owner = subprocess.run(["dpkg-query", "-S", os.path.realpath(path)], capture_output=True,
                           text=True)
    if owner.returncode == 0:
        package = owner.stdout.partition(":")[0]
        words.append("(Debian " + subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${Version}", package], capture_output=True,
            text=True).stdout + ")")
    return " ".join(words)
