"""What a reader has to know about the machine to judge the figures."""

import os
import pathlib
import platform
import subprocess
import time
from typing import Any

from benchlib.lab import ROOT
from benchlib.peers import described

SYSCTLS = ("net.core.default_qdisc", "net.core.netdev_budget", "net.core.netdev_max_backlog",
           "net.core.rmem_max", "net.core.wmem_max", "net.core.somaxconn", "net.core.busy_poll",
           "net.ipv4.tcp_congestion_control", "net.ipv4.tcp_mem", "net.ipv4.tcp_rmem",
           "net.ipv4.tcp_wmem", "net.ipv4.tcp_notsent_lowat", "net.ipv4.udp_mem")


def field(path: str, name: str) -> str | None:
    """The first value of a line `name: value`."""
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return None


def commit() -> str:
    command = ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() or "unknown"


def sysctls() -> dict[str, str]:
    """As the machine has them; the lab's namespaces use cubic whatever it says here."""
    values = {}
    for name in SYSCTLS:
        path = pathlib.Path("/proc/sys", *name.split("."))
        if path.exists():
            values[name] = " ".join(path.read_text(encoding="ascii").split())
    return values


def machine() -> dict[str, Any]:
    return {
        "time": time.strftime("%FT%TZ", time.gmtime()),
        "commit": commit(),
        "kernel": platform.release(),
        "cpu": field("/proc/cpuinfo", "model name") or platform.machine(),
        "cpus": os.cpu_count(),
        "memory": field("/proc/meminfo", "MemTotal"),
        "iperf3": described("iperf3"),
        "sysctls": sysctls(),
    }
