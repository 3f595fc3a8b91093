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

    def command(self, *arguments: str) -> list[str]:
        return [str(ROOT / "perf/bench"), "--peers", "pasta-xdp,native", "--seconds", "0.3",
                "--json", f"{self.directory}/out.json", "--html", f"{self.directory}/out.html",
                *arguments]

    def left_behind(self) -> list[str]:
        namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        return [*(line for line in namespaces.splitlines() if self.lab in line),
                *(path.name for path in self.directory.iterdir() if self.lab in path.name)]

    def test_measures_and_writes(self) -> None:
        done = subprocess.run(
            self.command("--quick", "--only", "round trip", "--only", "8 threads",
                         "--only", "half of native's rate: 18"),
            env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        written = json.loads((self.directory / "out.json").read_text(encoding="utf-8"))
        self.assertEqual(len(written["samples"]), 5)
        for workload, peers in written["samples"].items():
            self.assertEqual(sorted(peers), ["native", "pasta-xdp"], workload)
        self.assertIn("</html>", (self.directory / "out.html").read_text(encoding="utf-8"))
        self.assertIn("UDP at half of native's rate", done.stdout)
        self.assertEqual(self.left_behind(), [])

    def interrupted(self, how: signal.Signals) -> int:
        """Starts a measurement, sends it a signal, and waits until nothing is left of it."""
        process = subprocess.Popen(self.command("--seconds", "30", "--only", "round trip: tcp"),
                                   env=self.environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        with process:
            for line in process.stderr:
                if "pasta-xdp, MTU" in line or "native, MTU" in line:
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
