"""The results as tables: rows of words, for the terminal and for the page alike."""

import dataclasses

from benchlib.results import COST, DROPS, RETRANSMITS, Metric, Results, WorkloadFacts
from benchlib.stats import Summary, best, figure, ratio
from benchlib.text import columns

NATIVE, OURS = "native", "pasta-xdp"

LEGEND = """\
median, min–max: over the rounds. /native, /best: the median divided by native's, and by that of the best peer that
is neither native nor pasta-xdp; where less is better (<), a ratio below 1 is the better one.
CPU: seconds of all CPUs of the machine while the client ran, all processes and interrupts included, nothing
subtracted (/proc/stat: user, nice, system, irq, softirq), per GB received, per million datagrams received, per
1000 round trips or connections. retr: TCP segments retransmitted (RetransSegs), drops: packets dropped by
interfaces, UDP sockets, listen queues and CPU backlogs; both from the kernel's counters in the namespaces of client,
server and host, medians. What only a peer's own process dropped shows as lost, retransmitted or not at all;
pasta-xdp's own counters (--stats) are listed below. lost: share of what the client sent that was not received."""


@dataclasses.dataclass(frozen=True)
class Section:
    """One table: a group of workloads. The first row is the head."""

    title: str
    rows: list[list[str]]


HEAD = ["", "unit", "peer", "median", "min–max", "/native", "/best", "CPU", "retr", "drops"]
LEFT = (0, 1, 2)  # columns


def reference(results: Results, workload: WorkloadFacts, metric: Metric) -> Summary | None:
    """The best peer's, native and pasta-xdp aside."""
    others = [peer.name for peer in results.peers if peer.kind not in (NATIVE, OURS)]
    return best([results.summary(workload.name, name, metric.key) for name in others],
                metric.higher_is_better)


def native(results: Results, workload: WorkloadFacts, metric: Metric) -> Summary | None:
    return best([results.summary(workload.name, name, metric.key)
                 for name in results.of_kind(NATIVE)], metric.higher_is_better)


def multiples(results: Results, workload: WorkloadFacts, metric: Metric,
              value: Summary | None) -> list[str]:
    """Of native, and of the best peer."""
    if not metric.relative:
        return ["", ""]
    factors = [ratio(value, other(results, workload, metric)) for other in (native, reference)]
    return ["-" if factor is None else f"{factor:.2f}" for factor in factors]


def unit(metric: Metric) -> str:
    return metric.unit + ("" if metric.higher_is_better else " <")


def named(workload: WorkloadFacts, metric: Metric) -> str:
    """Within the workload's group."""
    return f"{workload.label} {metric.label}".strip()


def spread(summary: Summary | None) -> str:
    if summary is None or summary.count < 2:
        return "-"
    return f"{figure(summary.low)}–{figure(summary.high)}"


def costs(results: Results, workload: WorkloadFacts, peer: str) -> list[str]:
    cost = results.summary(workload.name, peer, COST)
    counts = [results.summary(workload.name, peer, key) for key in (RETRANSMITS, DROPS)]
    return [f"{figure(cost.median)} {workload.cost_unit}" if cost else "-",
            *(f"{count.median:,.0f}" if count else "-" for count in counts)]


def metric_rows(results: Results, workload: WorkloadFacts, metric: Metric) -> list[list[str]]:
    rows = []
    for peer in results.peers:
        value = results.summary(workload.name, peer.name, metric.key)
        first = metric is workload.metrics[0]
        rows.append([
            named(workload, metric) if not rows else "", unit(metric) if not rows else "", peer.name,
            figure(value.median if value else None), spread(value),
            *multiples(results, workload, metric, value),
            *(costs(results, workload, peer.name) if first else ["", "", ""])])
    return rows


def details(results: Results) -> list[Section]:
    return [Section(group, [HEAD, *(row for workload in workloads for metric in workload.metrics
                                    for row in metric_rows(results, workload, metric))])
            for group, workloads in results.groups()]


def overview(results: Results) -> Section:
    """The medians of all peers side by side, and pasta-xdp as multiples of native and of the best:
    what each workload is about, and what can be compared."""
    names = [peer.name for peer in results.peers]
    ours = results.of_kind(OURS)[:1]
    rows = [["", "unit", *names, *(["ours/native", "ours/best"] if ours else [])]]
    for group, workloads in results.groups():
        rows.append([group, *[""] * (len(rows[0]) - 1)])
        for workload in workloads:
            for metric in workload.metrics:
                if not metric.relative and metric is not workload.metrics[0]:
                    continue
                values = {name: results.summary(workload.name, name, metric.key) for name in names}
                rows.append([
                    "  " + named(workload, metric), unit(metric),
                    *(figure(value.median if value else None) for value in values.values()),
                    *(word for name in ours
                      for word in multiples(results, workload, metric, values[name]))])
    return Section("Overview: medians", rows)


def notes(results: Results) -> list[str]:
    """What the tables do not say: gaps, and what peers counted themselves."""
    lines = [f"gap: round {failure.round}, {failure.peer}, {failure.workload or 'at its end'}: "
             f"{failure.error}" for failure in results.failures]
    for peer, counters in results.counters.items():
        if peer in results.of_kind(OURS):
            found = ", ".join(f"{name} {value:,}" for name, value in counters.items())
            lines.append(f"{peer} --stats, all rounds: {found or 'no losses'}")
    return lines


def surroundings(results: Results) -> list[str]:
    machine, options = results.facts["machine"], results.facts["options"]
    lines = [f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory']}, Linux "
             f"{machine['kernel']}, commit {machine['commit']}, {machine['time']}",
             f"rounds {options['rounds']}, {options['seconds']:g} s per measurement, pasta-xdp with "
             f"{options['workers']} workers, {options['polling']} polling; cubic everywhere",
             f"the idle machine's own load at the start: {results.facts['idle_cpus']:.3f} CPUs, part of "
             "the CPU columns"]
    lines += [f"{peer.name}: {peer.version}" for peer in results.peers]
    return lines


def terminal(results: Results) -> str:
    parts = [f"{section.title}\n{columns(section.rows, LEFT)}" for section in details(results)]
    parts += [LEGEND, "\n".join(surroundings(results))]
    if lines := notes(results):
        parts.append("\n".join(lines))
    summary = overview(results)
    parts.append(f"{summary.title}\n{columns(summary.rows, left=(0, 1))}")
    return "\n\n".join(parts)
