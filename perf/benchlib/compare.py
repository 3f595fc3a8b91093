"""Two runs, workload by workload."""

import dataclasses

from benchlib.results import COST, Metric, Results, WorkloadFacts
from benchlib.stats import Summary, differ, figure, ratio
from benchlib.text import columns


@dataclasses.dataclass(frozen=True)
class Change:
    workload: str
    metric: str  # with its unit
    peer: str
    before: Summary
    after: Summary
    verdict: str  # better or worse where the spreads do not overlap, else empty


def verdict(metric: Metric, before: Summary, after: Summary) -> str:
    if not differ(before, after):
        return ""
    return "better" if (after.median > before.median) == metric.higher_is_better else "worse"


def with_cost(workload: WorkloadFacts) -> list[Metric]:
    cost = Metric(COST, "CPU", workload.cost_unit, higher_is_better=False)
    return [*workload.metrics, *([cost] if workload.cost_unit else [])]


def changes(before: Results, after: Results) -> list[Change]:
    """Of what both runs measured, in the order of the first."""
    found = []
    for workload in before.workloads:
        for metric in with_cost(workload):
            for peer in before.peers:
                one = before.summary(workload.name, peer.name, metric.key)
                other = after.summary(workload.name, peer.name, metric.key)
                if one and other:
                    name = " ".join(word for word in (metric.label, metric.unit) if word)
                    found.append(Change(workload.name, name, peer.name, one, other,
                                        verdict(metric, one, other)))
    return found


def comparison(before: Results, after: Results) -> str:
    """The table of `bench --compare`."""
    rows = [["workload", "", "peer", "before", "after", "ratio", ""]]
    for change in changes(before, after):
        factor = ratio(change.after, change.before)
        rows.append([change.workload, change.metric, change.peer, figure(change.before.median),
                     figure(change.after.median), "-" if factor is None else f"{factor:.2f}",
                     f"* {change.verdict}" if change.verdict else ""])
    if len(rows) == 1:
        return "The two runs have no workload and peer in common."
    legend = ("ratio: after / before. *: the spreads (smallest to largest sample) do not overlap; "
              "runs of a\nsingle round have no spread and are never marked.")
    return columns(rows, left=(0, 1, 2, 6)) + "\n\n" + legend
