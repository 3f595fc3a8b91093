"""The namespaces that are measured in, and the processes started there."""

import json
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = pathlib.Path(os.environ.get("PERF_TOOLS", ROOT / "build/release/perf"))
PATIENCE = 20.0  # seconds that anything may take to get ready or to end


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


class Lab:
    """world with the servers and host with an uplink to it, as tests/netns/lab.sh draws them.

    A context manager. A `Prefix` (list of words) before a command says where it runs.
    """

    def __enter__(self) -> "Lab":
        self._holder = subprocess.Popen([ROOT / "perf/benchlib/hold_lab.sh"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        words = self._holder.stdout.readline().split()
        if len(words) != 5:
            raise BenchError("the lab could not be made")
        self.world, self.host, self.job, self.address, directory = words
        self.directory = pathlib.Path(directory)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._holder.stdin.close()
        self._holder.wait()

    @staticmethod
    def inside(namespace: str) -> list[str]:
        return ["ip", "netns", "exec", namespace]

    def start(self, prefix: Sequence[str], *command: object,
              output: int | None = subprocess.DEVNULL, log: str | None = None) -> subprocess.Popen:
        """A process in the background; `log` names a file in the lab's directory for its output."""
        words = [*prefix, *map(str, command)]
        if log is None:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output,
                                    stderr=subprocess.DEVNULL, text=True)
        with open(self.directory / log, "w", encoding="utf-8") as out:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=subprocess.STDOUT, text=True)

    def serve(self, port: int, protocol: str, *command: object,
              output: int | None = subprocess.DEVNULL) -> subprocess.Popen:
        """A server in world, returned once it has the port."""
        server = self.start(self.inside(self.world), *command, output=output)
        query = [*self.inside(self.world), "ss", "-Hln", f"-{protocol[0]}", f"sport = :{port}"]
        wait_until(lambda: bool(subprocess.run(query, capture_output=True).stdout),
                   f"server on port {port}")
        return server

    @staticmethod
    def run(prefix: Sequence[str], *command: object, seconds: float) -> str:
        """Runs to the end and returns standard output; BenchError on failure or after `seconds`."""
        words = [*prefix, *map(str, command)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{command[0]}: still ran after {seconds:.0f} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise BenchError(f"{command[0]}: {said[-1] if said else f'status {done.returncode}'}")
        return done.stdout

    def run_json(self, prefix: Sequence[str], *command: object, seconds: float) -> dict:
        return json.loads(self.run(prefix, *command, seconds=seconds))
