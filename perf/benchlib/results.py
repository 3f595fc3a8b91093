"""What a run found, as it is kept in memory and written to JSON."""

import dataclasses
import json
import pathlib
from typing import Any

from benchlib.stats import Summary, summarise

FORMAT = 1  # of the JSON file; raised when a reader of older files would misunderstand it


@dataclasses.dataclass(frozen=True)
class Metric:
    key: str    # unique within its workload
    label: str  # what it adds to the workload's name, such as p50; may be empty
    unit: str
    higher_is_better: bool = True
    relative: bool = True  # whether its ratio to another peer's says anything


@dataclasses.dataclass(frozen=True)
class WorkloadFacts:
    name: str   # unique
    group: str  # workloads of a group are shown together
    label: str  # its name within the group
    metrics: tuple[Metric, ...]
    cost_unit: str  # of CPU time, such as s/GB; empty where it makes no sense


@dataclasses.dataclass(frozen=True)
class PeerFacts:
    name: str
    kind: str  # native, pasta-xdp, pasta, slirp4netns or rootlesskit
    version: str


@dataclasses.dataclass(frozen=True)
class Failure:
    round: int
    peer: str
    workload: str  # empty: the peer itself did not start or ended badly
    error: str


Sample = dict[str, float]  # metric key -> value; also COST, and RETRANSMITS and DROPS
COST, RETRANSMITS, DROPS = "cpu", "retransmits", "drops"


@dataclasses.dataclass
class Results:
    peers: list[PeerFacts]
    workloads: list[WorkloadFacts]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    samples: dict[str, dict[str, list[Sample]]] = dataclasses.field(default_factory=dict)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    counters: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)  # by peer

    def add(self, workload: str, peer: str, sample: Sample) -> None:
        self.samples.setdefault(workload, {}).setdefault(peer, []).append(sample)

    def add_counters(self, peer: str, counters: dict[str, int]) -> None:
        sums = self.counters.setdefault(peer, {})
        for name, value in counters.items():
            sums[name] = sums.get(name, 0) + value

    def summary(self, workload: str, peer: str, key: str) -> Summary | None:
        samples = self.samples.get(workload, {}).get(peer, [])
        return summarise([sample[key] for sample in samples if key in sample])

    def groups(self) -> list[tuple[str, list[WorkloadFacts]]]:
        """In the order in which the groups first appear."""
        by_name: dict[str, list[WorkloadFacts]] = {}
        for workload in self.workloads:
            by_name.setdefault(workload.group, []).append(workload)
        return list(by_name.items())

    def of_kind(self, kind: str) -> list[str]:
        return [peer.name for peer in self.peers if peer.kind == kind]

    def write(self, path: pathlib.Path) -> None:
        data = {"format": FORMAT, **dataclasses.asdict(self)}
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def read_results(path: pathlib.Path) -> Results:
    """What write() wrote. ValueError, in one line, for anything else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise ValueError(f"not format {FORMAT}")
        data["peers"] = [PeerFacts(**peer) for peer in data["peers"]]
        data["failures"] = [Failure(**failure) for failure in data["failures"]]
        data["workloads"] = [
            WorkloadFacts(**workload | {"metrics": tuple(Metric(**m) for m in workload["metrics"])})
            for workload in data["workloads"]]
        return Results(**data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no results of this benchmark ({error})") from None
