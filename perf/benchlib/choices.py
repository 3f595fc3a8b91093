"""Which peers a command line asks for."""

import dataclasses
import os
import pathlib
import re
import subprocess

from benchlib.lab import PATIENCE, BenchError
from benchlib.peers import Native, Pasta, PastaXdp, Peer, RootlessKit, Slirp4netns

KINDS: tuple[type[Peer], ...] = (Native, PastaXdp, Pasta, Slirp4netns, RootlessKit)
DEFAULT_NAMES = tuple(kind.kind for kind in KINDS)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A peer that was asked for."""

    name: str
    kind: type[Peer]
    binary: str

    def can(self, direction: str) -> bool:
        return direction in self.kind.directions


def kind_of(binary: str) -> type[Peer]:
    """By the file's name, else by what its --help says."""
    name = pathlib.Path(binary).name
    said = ""
    if not re.search("slirp4netns|rootlesskit|pasta", name):
        try:
            done = subprocess.run([binary, "--help"], capture_output=True, text=True,
                                  timeout=PATIENCE)
            said = done.stdout + done.stderr
        except (OSError, subprocess.TimeoutExpired):
            pass
    if "rootlesskit" in name or "RootlessKit" in said:  # which speaks of slirp4netns, too
        return RootlessKit
    if "slirp4netns" in name or "slirp4netns" in said:
        return Slirp4netns
    if "pasta-xdp" in name or "AF_XDP" in said:
        return PastaXdp
    if "pasta" in name:  # not only in what it says: passt is pasta when its name says so
        return Pasta
    raise BenchError(f"{binary}: neither pasta (its file must be called so), slirp4netns, "
                     "rootlesskit nor pasta-xdp")


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
