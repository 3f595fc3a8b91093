"""The rounds: every peer in turn does every workload, so that drift hits all alike."""

import contextlib
import dataclasses
import itertools
import sys
from collections.abc import Iterable, Sequence

from benchlib.lab import BenchError, Lab
from benchlib.meter import Meter, losses
from benchlib.choices import Choice
from benchlib.peers import Native, PastaXdp, Peer
from benchlib.results import COST, DROPS, RETRANSMITS, Failure, PeerFacts, Results
from benchlib.workloads import Trial, Workload


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a peer is started with."""

    mtu: int
    forward: bool

    def __str__(self) -> str:
        return f"MTU {self.mtu}" + (", ports" if self.forward else "")


@dataclasses.dataclass
class Session:
    workloads: Sequence[Workload]
    choices: Sequence[Choice]
    rounds: int
    seconds: float  # per measurement

    def __post_init__(self) -> None:
        self.results = Results(
            peers=[PeerFacts(choice.name, choice.kind.kind, choice.kind.version(choice.binary))
                   for choice in self.choices],
            workloads=[workload.facts() for workload in self.workloads])

    def run(self) -> Results:
        with Lab() as lab:
            for number in range(self.rounds):
                for choice in self._order(number):
                    for setting, group in self._groups(choice):
                        self._say(f"round {number + 1} of {self.rounds}: {choice.name}, {setting}")
                        self._measure(number, lab, choice, setting, group)
        return self.results

    def complete(self) -> bool:
        """Whether every workload gave a sample in every round for every pasta-xdp."""
        ours = self.results.of_kind(PastaXdp.kind)
        return not any(failure.peer in ours for failure in self.results.failures)

    def _order(self, number: int) -> list[Choice]:
        """Native first, whose results others need; the rest in another order in each round."""
        native = [choice for choice in self.choices if choice.kind is Native]
        others = [choice for choice in self.choices if choice.kind is not Native]
        turn = number % len(others) if others else 0
        return [*native, *others[turn:], *others[:turn]]

    def _groups(self, choice: Choice) -> Iterable[tuple[Setting, list[Workload]]]:
        """What the peer has a direction for, by what it is to be started with."""
        able = [workload for workload in self.workloads if choice.can(workload.direction)]
        ordered = sorted(able, key=lambda workload: (workload.forwarded, -workload.mtu))
        for key, group in itertools.groupby(ordered, key=lambda workload: Setting(
                workload.mtu, workload.forwarded)):
            yield key, list(group)

    def _measure(self, number: int, lab: Lab, choice: Choice, setting: Setting,
                 workloads: list[Workload]) -> None:
        peer = choice.kind(lab, choice.name, choice.binary)
        try:
            lab.set_mtu(setting.mtu)
            peer.start(setting.mtu, setting.forward)
        except BenchError as error:
            for workload in workloads:
                self._fail(number, peer, workload.name, f"not started: {error}")
            return
        try:
            for workload in workloads:
                try:
                    self._sample(number, lab, peer, workload)
                except BenchError as error:
                    self._fail(number, peer, workload.name, str(error))
        finally:
            self._stop(number, peer)

    def _stop(self, number: int, peer: Peer) -> None:
        try:
            peer.stop()
        except BenchError as error:
            self._fail(number, peer, "", str(error))
        self.results.add_counters(peer.name, peer.counters())

    def _sample(self, number: int, lab: Lab, peer: Peer, workload: Workload) -> None:
        ends = getattr(peer, workload.direction)()
        basis = self._of_native(number, workload.basis) if workload.basis else None
        trial = Trial(lab, peer, ends, self.seconds, Meter(), basis)
        # The host lies between the two, and is an end itself for native.
        watched = {tuple(prefix): prefix
                   for prefix in (ends.client, ends.server, lab.inside(lab.host))}.values()
        before = losses(list(watched))
        outcome = workload.run(trial)
        lost = losses(list(watched)) - before
        known = {metric.key for metric in workload.metrics}
        sample = {key: value for key, value in outcome.values.items() if key in known}
        sample |= {RETRANSMITS: lost.retransmits, DROPS: lost.drops}
        if outcome.work > 0:
            sample[COST] = trial.meter.cpu_seconds / outcome.work
        sample["round"] = number + 1
        self.results.add(workload.name, peer.name, sample)

    def _of_native(self, number: int, basis: Workload) -> dict[str, float] | None:
        for name in self.results.of_kind(Native.kind):
            for sample in self.results.samples.get(basis.name, {}).get(name, []):
                if sample["round"] == number + 1:
                    return sample
        return None

    def _fail(self, number: int, peer: Peer, workload: str, error: str) -> None:
        self.results.failures.append(Failure(number + 1, peer.name, workload, error))
        self._say(f"  {peer.name}, {workload or 'at its end'}: {error}")

    @staticmethod
    def _say(line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(line, file=sys.stderr, flush=True)
