"""The namespaces that are measured in, and the processes started there."""

import json
import os
import pathlib
import resource
import select
import subprocess
import time
from collections.abc import Callable, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = pathlib.Path(os.environ.get("PERF_TOOLS", ROOT / "build/release/perf"))
PATIENCE = 20.0  # seconds that anything may take to get ready or to end
DESCRIPTORS = 65536  # that a process in the lab may have, where root may allow that many
MTU = 65520  # the largest that all peers can
PORTS = 8  # that workloads use, from the first one of their direction on
OUTWARD = 6000
TO_NAMESPACE = 6100  # forwarded from the host
TO_HOST = 6200       # forwarded from the namespace
# Ends with this program, also when that is killed: in the namespaces that peers make themselves
# nobody else would look for it. Not passed on to another user.
TIED = ("setpriv", "--pdeathsig", "TERM")


def port_range(first: int) -> str:
    return f"{first}-{first + PORTS - 1}"


# A connection's slow-start threshold must not be what an earlier one of another peer left behind,
# and its source port not one that a server is about to listen on.
FAIR = ("net.ipv4.tcp_no_metrics_save=1", "net.ipv4.ip_local_reserved_ports=" +
        ",".join(map(port_range, (OUTWARD, TO_NAMESPACE, TO_HOST))))


class BenchError(Exception):
    """What went wrong, in one line."""


def wait_until(ready: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.02)


def stop(process: subprocess.Popen) -> None:
    """SIGTERM, and SIGKILL where that does not help."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def read_line(process: subprocess.Popen, seconds: float = PATIENCE) -> str:
    """The next line of its standard output, a pipe; empty when it has ended."""
    if not select.select([process.stdout], [], [], seconds)[0]:
        raise BenchError(f"{process.args[-1]}: said nothing for {seconds:.0f} s")
    return process.stdout.readline()


def listening(prefix: Sequence[str], protocol: str, port: int) -> bool:
    """Whether something has the port (tcp, udp) in the namespace that the prefix enters."""
    query = [*prefix, "ss", "-Hln", f"-{protocol[0]}", f"sport = :{port}"]
    return bool(subprocess.run(query, capture_output=True).stdout)


def allow_descriptors() -> None:
    """For the processes started from now on: peers that serve thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, DESCRIPTORS), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(limit, DESCRIPTORS)), limit))
            return
        except (ValueError, PermissionError):
            continue


class Lab:
    """world with the servers and host with an uplink to it, as tests/netns/lab.sh draws them.

    A context manager. A `Prefix` (list of words) before a command says where it runs.
    """

    def __enter__(self) -> "Lab":
        allow_descriptors()
        self._holder = subprocess.Popen([ROOT / "perf/benchlib/hold_lab.sh"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        words = self._holder.stdout.readline().split()
        if len(words) != 6:
            raise BenchError("the lab could not be made")
        self.world, self.host, self.job, self.address, self.host_address, directory = words
        self.directory = pathlib.Path(directory)
        for namespace in (self.world, self.host, self.job):
            self.run(self.inside(namespace), "sysctl", "-q", "-w", *FAIR, seconds=PATIENCE)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._holder.stdin.close()
        self._holder.wait()

    @staticmethod
    def inside(namespace: str) -> list[str]:
        return ["ip", "netns", "exec", namespace]

    def set_mtu(self, mtu: int) -> None:
        """Of the path between host and world."""
        for namespace, interface in ((self.world, "host0"), (self.host, "eth0")):
            self.run([], "ip", "-n", namespace, "link", "set", interface, "mtu", mtu,
                     seconds=PATIENCE)

    def start(self, prefix: Sequence[str], *command: object, stdin: int = subprocess.DEVNULL,
              stdout: int | None = None, log: str = "/dev/null") -> subprocess.Popen:
        """A process in the background. What it says goes to `log`, a file in the lab's directory;
        with `stdout` only what it says on standard error."""
        with open(self.directory / log, "w", encoding="utf-8") as out:
            return subprocess.Popen([*TIED, *prefix, *map(str, command)], stdin=stdin,
                                    stdout=out if stdout is None else stdout, stderr=out, text=True)

    def log(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8", errors="replace")

    def serve(self, prefix: Sequence[str], port: int, protocol: str, *command: object,
              stdout: int | None = None) -> subprocess.Popen:
        """A server, returned once it has the port."""
        server = self.start(prefix, *command, stdout=stdout, log="server.log")
        try:
            wait_until(lambda: server.poll() is not None or listening(prefix, protocol, port),
                       f"server on port {port}")
            if server.poll() is not None:
                raise BenchError(f"server on port {port}: {last_line(self.log('server.log'))}")
        except BenchError:
            stop(server)
            raise
        return server

    @staticmethod
    def run(prefix: Sequence[str], *command: object, seconds: float) -> str:
        """Runs to the end and returns standard output; BenchError on failure or after `seconds`."""
        words = [*TIED, *prefix, *map(str, command)]
        name = pathlib.Path(str(command[0])).name
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{name}: still ran after {seconds:.0f} s") from None
        if done.returncode != 0:
            said = last_line(done.stderr or done.stdout) or f"status {done.returncode}"
            raise BenchError(f"{name}: {said}")
        return done.stdout

    def run_json(self, prefix: Sequence[str], *command: object, seconds: float) -> dict:
        return json.loads(self.run(prefix, *command, seconds=seconds))
