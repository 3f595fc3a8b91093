"""The benchmark itself, in short: what it writes, and that it leaves nothing behind."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0


class Bench(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.lab = f"benchtest-{os.getpid()}-{self._testMethodName[5:9]}"
        self.environment = {**os.environ, "LAB": self.lab, "TMPDIR": str(self.directory)}

    def command(self, peers: str, *arguments: str) -> list[str]:
        return [str(ROOT / "perf/bench"), "--peers", peers, "--seconds", "0.3", "--json",
                f"{self.directory}/out.json", "--html", f"{self.directory}/out.html", *arguments]

    def left_behind(self) -> list[str]:
        namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        return [*(line for line in namespaces.splitlines() if self.lab in line),
                *(path.name for path in self.directory.iterdir() if self.lab in path.name),
                *self.processes()]

    def processes(self) -> list[str]:
        """All that the benchmark started, however deep: they have its environment."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if f"LAB={self.lab}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # ended meanwhile
        return found

    def measured(self, peers: str, *words: str) -> tuple[dict, str]:
        """The file and the table of a run that succeeded and left nothing behind."""
        only = [argument for word in words for argument in ("--only", word)]
        done = subprocess.run(self.command(peers, "--quick", *only), env=self.environment,
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.left_behind(), [])
        return json.loads((self.directory / "out.json").read_text(encoding="utf-8")), done.stdout

    def test_measures_and_writes(self) -> None:
        written, said = self.measured("pasta-xdp,native", "round trip", "8 threads",
                                      "half of native's rate: 18", "4 at a time")
        self.assertEqual(len(written["samples"]), 8)
        for workload, peers in written["samples"].items():
            self.assertEqual(sorted(peers), ["native", "pasta-xdp"], workload)
        self.assertIn("</html>", (self.directory / "out.html").read_text(encoding="utf-8"))
        self.assertIn("UDP at half of native's rate", said)

    def test_peers_forward_ports_where_they_can(self) -> None:
        written, _said = self.measured("native,pasta,slirp4netns,rootlesskit", "4 at a time",
                                       "host to namespace: UDP echo")
        self.assertEqual(written["failures"], [])
        peers = {workload: sorted(samples) for workload, samples in written["samples"].items()}
        everywhere = ["native", "pasta", "rootlesskit"]
        self.assertEqual(peers, {
            "Splice, host to namespace: connections, 4 at a time": everywhere,
            "Splice, host to namespace: UDP echo": everywhere,
            "Splice, namespace to host: connections, 4 at a time": ["native", "pasta"],
            "Forwarded inbound: connections, 4 at a time": everywhere})

    def interrupted(self, how: signal.Signals, peer: str = "pasta-xdp",
                    word: str = "round trip: tcp") -> int:
        """Starts a measurement, sends it a signal, and waits until nothing is left of it."""
        process = subprocess.Popen(self.command(peer, "--seconds", "30", "--only", word),
                                   env=self.environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        with process:
            for line in process.stderr:
                if f"{peer}, MTU" in line:
                    break
            time.sleep(0.5)  # into the measurement: any moment will do
            self.assertNotEqual(self.left_behind(), [], "it had not begun")
            process.send_signal(how)
            status = process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while self.left_behind() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.left_behind(), [])
        self.assertFalse((self.directory / "out.json").exists())
        return status

    def test_term_leaves_nothing(self) -> None:
        self.assertEqual(self.interrupted(signal.SIGTERM), 143)

    def test_kill_leaves_nothing(self) -> None:
        self.assertEqual(self.interrupted(signal.SIGKILL), -signal.SIGKILL)

    def test_kill_ends_what_made_its_own_namespaces(self) -> None:
        for peer in ("pasta", "rootlesskit"):
            status = self.interrupted(signal.SIGKILL, peer, "inbound: TCP echo")
            self.assertEqual(status, -signal.SIGKILL, peer)

    def test_interrupt_leaves_nothing(self) -> None:
        self.assertEqual(self.interrupted(signal.SIGINT), 130)

    def test_unknown_words_are_one_line(self) -> None:
        for arguments in (("--only", "nonsense"), ("--peers", "nobody"), ("--peer", "x"),
                          ("--compare", "/none", "/none")):
            done = subprocess.run([ROOT / "perf/bench", *arguments], capture_output=True, text=True,
                                  timeout=PATIENCE)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertTrue(done.stderr.startswith("bench: "), done.stderr)


if __name__ == "__main__":
    unittest.main()
