"""Medians, ratios and the table."""

import statistics

from benchlib.workloads import Metric

NATIVE, OURS = "native", "pasta-xdp"
Samples = dict[str, dict[str, list[float]]]  # metric name, peer name, one value per round


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def figure(value: float | None) -> str:
    if value is None:
        return "-"
    digits = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def ratio(value: float | None, other: float | None) -> str:
    return f"{value / other:.2f} x" if value is not None and other else "-"


def best_peer(metric: Metric, medians: dict[str, float | None]) -> float | None:
    others = [value for name, value in medians.items()
              if name not in (NATIVE, OURS) and value is not None]
    choose = max if metric.higher_is_better else min
    return choose(others) if others else None


def table(metrics: list[Metric], peers: list[str], samples: Samples) -> str:
    """One row per metric: the medians, and ours as multiples of native and of the best peer."""
    rows = [["", "unit", *peers, "ours / native", "ours / best peer"]]
    for metric in metrics:
        medians = {peer: median(samples[metric.name].get(peer, [])) for peer in peers}
        ours = medians.get(OURS)
        rows.append([metric.name, metric.unit + ("" if metric.higher_is_better else " (less is better)"),
                     *(figure(medians[peer]) for peer in peers),
                     ratio(ours, medians.get(NATIVE)), ratio(ours, best_peer(metric, medians))])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) if column < 2 else cell.rjust(width)
                       for column, (cell, width) in enumerate(zip(row, widths))) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
