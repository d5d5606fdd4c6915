"""Intervals that hold whatever the distribution: order statistics of the median (n = 7: the range covers it with 98.4 %)."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from statistics import median


def interval(samples: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The narrowest symmetric order-statistic interval of the median that covers it with at least `confidence`; the range if none does."""
    ordered, n = sorted(samples), len(samples)
    below, depth = 0.0, 0
    for index in range(n // 2):
        below += comb(n, index) / 2**n
        if 1 - 2 * below < confidence:
            break
        depth = index
    return ordered[depth], ordered[n - 1 - depth]


def ratio(
    name: str, ours: Sequence[float], reference: Sequence[float], limit: float | None, control: Sequence[float] | None = None
) -> dict[str, object]:
    """A row: the median of the paired ratios and its interval; with `limit` whether it is met by the interval's upper end.

    Where the A/A control, reference against itself, spreads over more than half of the margin, the row says `not resolved`.
    """
    ratios = [left / right for left, right in zip(ours, reference, strict=True)]
    low, high = interval(ratios)
    row: dict[str, object] = {
        "what": name,
        "ratio": round(median(ratios), 3),
        "low": round(low, 3),
        "high": round(high, 3),
        "n": len(ratios),
    }
    if limit is not None:
        row["limit"] = limit
        spread = 0.0 if control is None else max(abs(end - 1) for end in interval(control))
        resolved = spread <= abs(limit - median(ratios)) / 2 or high <= limit
        row["verdict"] = "met" if high <= limit else "not resolved" if not resolved or low <= limit else "missed"
    row["samples"] = [round(value, 4) for value in ratios]
    return row
