"""The ways to connect a namespace that are compared. Each is started for a part of a round and
stopped after it, so that an idle one costs the others nothing."""

import dataclasses
import os
import pathlib
import pwd
import re
import shutil
import subprocess

from benchlib.lab import (FAIR, OUTWARD, PATIENCE, PORTS, ROOT, TO_HOST, TO_NAMESPACE, BenchError,
                          Lab, last_line, listening, port_range, read_line, stop, wait_until)

# As root, pasta drops to nobody and cannot join what root made, and rootlesskit warns: all but
# pasta-xdp run as an ordinary user.
USER_ID = 65534
ORDINARY_USER = ["setpriv", "--reuid", str(USER_ID), "--regid", str(USER_ID), "--clear-groups"]

LOOPBACK, ANY = "127.0.0.1", "0.0.0.0"


@dataclasses.dataclass(frozen=True)
class Ends:
    """Where a workload's client and server run (prefixes of commands), the address by which the
    client reaches the server, the one that the server listens on, and the first port."""

    client: list[str]
    server: list[str]
    address: str
    listen: str
    port: int


class Peer:
    """One of these methods per direction tells a workload where its ends are: outward, inward,
    to_namespace, to_host. All but outward need ports to be forwarded."""

    kind = ""
    binary = ""  # the default one
    directions = ("outward", "inward", "to_namespace", "to_host")  # that it has

    def __init__(self, lab: Lab, name: str, binary: str) -> None:
        self.lab = lab
        self.name = name
        self.binary = binary
        self.namespace: list[str] = []  # after start(): runs a command in the connected namespace

    def start(self, mtu: int, forward: bool) -> None:
        """Connects a namespace by an interface with this MTU, and forwards the ports of all its
        directions if so wanted."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends what start() began. BenchError when it had ended before, or ends badly."""

    def outward(self) -> Ends:
        """From the namespace to a server in world."""
        address = self.lab.address
        return Ends(self.namespace, self.lab.inside(self.lab.world), address, address, OUTWARD)

    def inward(self) -> Ends:
        """From world by the host's address to a server in the namespace."""
        return Ends(self.lab.inside(self.lab.world), self.namespace, self.lab.host_address, ANY,
                    TO_NAMESPACE)

    def to_namespace(self) -> Ends:
        """From the host's loopback to a server in the namespace, on whichever of its addresses the
        peer leads to."""
        return Ends(self.lab.inside(self.lab.host), self.namespace, LOOPBACK, ANY, TO_NAMESPACE)

    def to_host(self) -> Ends:
        """From the namespace's loopback to a server on the host's."""
        return Ends(self.namespace, self.lab.inside(self.lab.host), LOOPBACK, LOOPBACK, TO_HOST)

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
    """The namespace that has the veth to world itself. Its loopback leads to itself."""

    kind = "native"

    def start(self, mtu: int, forward: bool) -> None:
        self.namespace = self.lab.inside(self.lab.host)

    @classmethod
    def version(cls, binary: str) -> str:
        return "veth of the kernel"


class PastaXdp(Peer):
    kind = "pasta-xdp"
    binary = str(ROOT / "build/release/control/pasta-xdp")
    workers = "auto"
    polling = "adaptive"

    def start(self, mtu: int, forward: bool) -> None:
        config = self.lab.directory / "pasta-xdp.yaml"
        queues = 1 if self.workers in ("auto", "1") else "all"
        ports = ", ".join(f'{key}: ["{port_range(first)}"]' for key, first in (
            ("tcp", TO_NAMESPACE), ("udp", TO_NAMESPACE), ("tcp_to_host", TO_HOST),
            ("udp_to_host", TO_HOST)))
        config.write_text(
            f"dataplane: {{workers: {self.workers}, polling: {self.polling}}}\n"
            f"namespaces:\n  - {{name: bench, netns: /run/netns/{self.lab.job}, interface: eth0, "
            f"mtu: {mtu}, queues: {queues}, forward: {{{ports if forward else ''}}}}}\n",
            encoding="utf-8")
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


def process_in(namespace: str) -> int:
    """A process in the network namespace: a peer's command, whose pid the peer does not tell."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns/net") == namespace:
                return int(entry.name)
        except OSError:
            continue  # ended meanwhile
    raise BenchError("its namespace is gone")


class Commanded(Peer):
    """Makes the namespace itself, for a command, and ends with it."""

    # The command ends when its standard input does: also when this program was killed.
    COMMAND = ("sh", "-c", "readlink /proc/self/ns/net; exec cat >/dev/null")

    def _hold(self, prefix: list[str], *options: object) -> None:
        self._process = self.lab.start(
            [*self.lab.inside(self.lab.host), *prefix, *ORDINARY_USER], self.binary, *options,
            *self.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, log=f"{self.kind}.log")
        try:
            namespace = read_line(self._process).strip()
            if not namespace:
                raise BenchError(last_line(self.lab.log(f"{self.kind}.log")) or "ended at once")
            self.namespace = enter(process_in(namespace))
            wait_until(lambda: has_default_route(self.namespace), self.name)
            make_fair(self.lab, self.namespace)
        except BenchError:
            self.stop()
            raise

    def _wait_for_ports(self, prefix: list[str], first: int) -> None:
        """Until it listens on all of them there: it does not tell."""
        try:
            for port in range(first, first + PORTS):
                for protocol in ("tcp", "udp"):
                    wait_until(lambda: listening(prefix, protocol, port),
                               f"{self.name}: {protocol} port {port}")
        except BenchError:
            self.stop()
            raise

    def stop(self) -> None:
        self._process.stdin.close()  # it ends with its command
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            stop(self._process)
        self._process.stdout.close()

    def processes(self) -> list[int]:
        return [self._process.pid]


class Pasta(Commanded):
    kind = "pasta"
    binary = "pasta"

    def start(self, mtu: int, forward: bool) -> None:
        wanted = {"-t": TO_NAMESPACE, "-u": TO_NAMESPACE, "-T": TO_HOST, "-U": TO_HOST}
        ports = [word for option, first in wanted.items()
                 for word in (option, port_range(first) if forward else "none")]
        self._hold([], "--config-net", "-f", "-m", mtu, *ports, "--")
        if forward:
            self._wait_for_ports(self.namespace, TO_HOST)


# For the process that it starts, in the mount namespace that `ip netns exec` made: subordinate ids
# for the ordinary user, who need not have any, and a home that is gone with the process.
ROOTLESS_HOME = "/mnt"
ROOTLESS_SETUP = ('mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && '
                  f'mount -t tmpfs -o mode=1777 tmpfs {ROOTLESS_HOME} && '
                  f'export HOME={ROOTLESS_HOME} XDG_RUNTIME_DIR={ROOTLESS_HOME} && exec "$@"')


class RootlessKit(Commanded):
    """Its own port driver, builtin. What leaves the namespace goes through slirp4netns, which is a
    peer itself."""

    kind = "rootlesskit"
    binary = "rootlesskit"
    directions = ("inward", "to_namespace")

    def start(self, mtu: int, forward: bool) -> None:
        user = pwd.getpwuid(USER_ID).pw_name
        subordinate = self.lab.directory / "subordinate-ids"
        subordinate.write_text(f"{user}:100000:65536\n", encoding="utf-8")
        ports = [word for port in range(TO_NAMESPACE, TO_NAMESPACE + PORTS)
                 for protocol in ("tcp", "udp") for word in ("-p", f"{ANY}:{port}:{port}/{protocol}")]
        self._hold(["sh", "-c", ROOTLESS_SETUP, str(subordinate)],
                   f"--state-dir={ROOTLESS_HOME}/state", "--net=slirp4netns", f"--mtu={mtu}",
                   "--disable-host-loopback", "--copy-up=/etc", "--port-driver=builtin",
                   *(ports if forward else []))
        if forward:
            self._wait_for_ports(self.lab.inside(self.lab.host), TO_NAMESPACE)


class Slirp4netns(Peer):
    kind = "slirp4netns"
    binary = "slirp4netns"
    directions = ("outward",)

    def start(self, mtu: int, forward: bool) -> None:
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
