"""Medians, spreads and ratios of a few samples."""

import dataclasses
import statistics
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Summary:
    median: float
    low: float   # the smallest sample
    high: float  # the largest
    count: int


def summarise(values: Sequence[float]) -> Summary | None:
    if not values:
        return None
    return Summary(statistics.median(values), min(values), max(values), len(values))


def ratio(value: Summary | None, other: Summary | None) -> float | None:
    """None where one is missing or the divisor is zero."""
    if value is None or other is None or other.median == 0:
        return None
    return value.median / other.median


def differ(one: Summary, other: Summary) -> bool:
    """Whether the spreads do not overlap. A single sample has no spread to judge by."""
    if min(one.count, other.count) < 2:
        return False
    return one.high < other.low or other.high < one.low


def best(candidates: Sequence[Summary | None], higher_is_better: bool) -> Summary | None:
    known = [candidate for candidate in candidates if candidate is not None]
    if not known:
        return None
    choose = max if higher_is_better else min
    return choose(known, key=lambda candidate: candidate.median)


def figure(value: float | None) -> str:
    """Three or four significant digits, thousands grouped; - for nothing."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"
