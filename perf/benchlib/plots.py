"""Bar charts by gnuplot, as SVG."""

import dataclasses
import itertools
import subprocess
from collections.abc import Sequence

from benchlib.lab import BenchError
from benchlib.report import named
from benchlib.results import COST, Results
from benchlib.stats import Summary

GNUPLOT_PATIENCE = 20.0
COLOURS = ("#777777", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d")


@dataclasses.dataclass(frozen=True)
class Chart:
    """Clusters of bars, one bar per peer in each. Times have a logarithmic axis: medians and
    the rare long ones are orders of magnitude apart."""

    title: str
    unit: str
    peers: list[str]
    clusters: list[tuple[str, list[Summary | None]]]

    @property
    def logarithmic(self) -> bool:
        return self.unit.startswith("us")


def charts(results: Results) -> list[Chart]:
    """One per group and unit, and one for CPU time per group and unit of it."""
    found: dict[tuple[str, str], Chart] = {}
    names = [peer.name for peer in results.peers]

    def add(title: str, unit: str, label: str, values: list[Summary | None]) -> None:
        if any(values):
            chart = found.setdefault((title, unit), Chart(title, unit, names, []))
            chart.clusters.append((label, values))

    for group, workloads in results.groups():
        for workload in workloads:
            for metric in workload.metrics:
                values = [results.summary(workload.name, name, metric.key) for name in names]
                arrow = "" if metric.higher_is_better else " (less is better)"
                if metric.relative:
                    add(group, metric.unit + arrow, named(workload, metric), values)
        for workload in workloads:
            values = [results.summary(workload.name, name, COST) for name in names]
            unit = workload.cost_unit + " (less is better)"
            add(f"{group}: CPU time", unit, workload.label, values)
    return list(found.values())


def quoted(text: str) -> str:
    """A string of gnuplot's, in which a single quote is doubled."""
    return "'" + text.replace("'", "''") + "'"


def script(chart: Chart) -> str:
    """Median as the bar, smallest and largest sample as the whisker."""
    data = []
    for label, values in chart.clusters:
        cells = [f"{value.median:.6g} {value.low:.6g} {value.high:.6g}" if value else "? ? ?"
                 for value in values]
        data.append(" ".join(['"' + label.replace('"', "'") + '"', *cells]))
    bars = [f"$data using {column}:{column + 1}:{column + 2}:xtic(1) title {quoted(peer)} "
            f"lc rgb {quoted(colour)}"
            for column, peer, colour in zip(itertools.count(2, 3), chart.peers,
                                            itertools.cycle(COLOURS))]
    return "\n".join([
        "set terminal svg size 960,360 noenhanced font 'sans-serif,12' background '#ffffff'",
        "set datafile missing '?'",
        "$data << END", *data, "END",
        f"set title {quoted(chart.title)}", f"set ylabel {quoted(chart.unit)}",
        "set style data histogram", "set style histogram errorbars gap 1.5 linewidth 1",
        "set style fill solid 0.85 border -1", "set boxwidth 0.9",
        "set logscale y; set yrange [1:*]" if chart.logarithmic else "set yrange [0:*]",
        "set grid ytics", "set key outside right top", "set xtics nomirror",
        "plot " + ", ".join(bars), ""])


def draw(chart: Chart) -> str:
    """The SVG document."""
    try:
        done = subprocess.run(["gnuplot", "-"], input=script(chart), capture_output=True, text=True,
                              timeout=GNUPLOT_PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"gnuplot: {error}") from None
    if done.returncode != 0 or "<svg" not in done.stdout:
        raise BenchError(f"gnuplot: {done.stderr.strip() or 'no picture'}")
    return done.stdout


def draw_all(results: Results) -> Sequence[tuple[Chart, str]]:
    return [(chart, draw(chart)) for chart in charts(results)]
