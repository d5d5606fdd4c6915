"""The few statistics of the report. None of them assumes a distribution: intervals are order statistics, tests are of ranks.

An interval of a median is the range of the repeats up to seven, with which it covers the median in 98.4 of 100 cases. Two sets of repeats are
compared by the interval of their ratio; over a whole report, by exact permutation tests whose false discoveries are controlled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

__all__ = ["agreement", "coverage", "discoveries", "exponent", "interval", "line", "median", "permutation", "quantile", "ratio"]

CONFIDENCE = 0.95
LEAST = 7
"""Repeats without which nothing is said about a difference."""

MARGIN = 1.25
"""Two sets of repeats agree when the interval of their ratio lies within this factor of 1; a change is beyond it."""


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope and intercept of the least-squares line.

    Raises:
        ValueError: there are not two different `x`.
    """
    n = len(x)
    if n != len(y) or len(set(x)) < 2:
        raise ValueError("a line needs two points with different x")
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    spread = math.fsum((a - mean_x) ** 2 for a in x)
    slope = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    return slope, mean_y - slope * mean_x


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The growth exponent, the slope of log(seconds) over log(size): 1 is linear, 2 quadratic.

    Raises:
        ValueError: there are not two different sizes, or something is not positive.
    """
    if any(value <= 0 for value in (*sizes, *seconds)):
        raise ValueError("an exponent needs positive sizes and times")
    return line([math.log(size) for size in sizes], [math.log(second) for second in seconds])[0]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def interval(samples: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The narrowest symmetric pair of order statistics that covers the median with `confidence`; the range where none does.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("an interval needs samples")
    ordered, depth = sorted(samples), _depth(len(samples), confidence)
    return ordered[depth], ordered[-1 - depth]


def coverage(n: int, confidence: float = CONFIDENCE) -> float:
    """With which probability :func:`interval` of `n` samples covers the median of a continuous distribution."""
    return 1 - 2 * sum(math.comb(n, index) for index in range(_depth(n, confidence) + 1)) / 2**n


def _depth(n: int, confidence: float) -> int:
    """How many samples lie outside at each end."""
    depth, below = 0, 1 / 2**n
    while depth + 1 < (n + 1) // 2:
        below += math.comb(n, depth + 1) / 2**n
        if 1 - 2 * below < confidence:
            break
        depth += 1
    return depth


def ratio(new: Sequence[float], old: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float, float] | None:
    """Median of all ratios of a new over an old sample, and their order statistics that cover the factor between the two with `confidence`.

    It is the interval of Mann, Whitney, Hodges and Lehmann on the scale of logarithms; with few samples it is the range of the ratios. None where
    a ratio has no meaning: no samples, or some that are not positive (unless both are the same constant).
    """
    if not new or not old:
        return None
    if len({*new, *old}) == 1:
        return 1.0, 1.0, 1.0
    if min(*new, *old) <= 0:
        return None
    ordered = sorted(a / b for a in new for b in old)
    counts = _subsets([2 * rank for rank in range(1, len(new) + len(old) + 1)], len(new))
    lowest = len(new) * (len(new) + 1)
    tail = np.cumsum(counts[lowest::2]) / counts.sum()  # of U = 0, 1, 2 ...
    depth = int(np.searchsorted(tail, (1 - confidence) / 2, side="right"))  # the largest with P(U < depth) within the tail
    depth = max(0, depth - 1)
    return median(ordered), ordered[depth], ordered[-1 - depth]


def agreement(new: Sequence[float], old: Sequence[float], margin: float = MARGIN) -> str:
    """Whether two sets of repeats tell the same: ``agrees``, ``differs`` or ``undecided``.

    They differ when the interval of their ratio excludes 1, and agree when it lies within a factor `margin` of it. Fewer than seven repeats on
    either side decide nothing, but that two constants are equal.
    """
    found = ratio(new, old)
    if found is None:
        return "undecided"
    _, low, high = found
    if low == high == 1:
        return "agrees"
    if min(len(new), len(old)) < LEAST:
        return "undecided"
    if low > 1 or high < 1:
        return "differs"
    return "agrees" if 1 / margin <= low and high <= margin else "undecided"


def permutation(new: Sequence[float], old: Sequence[float]) -> float:
    """The two-sided p of the exact permutation test whose statistic is the sum of the ranks of `new`; equal samples share a rank.

    With seven and seven samples the smallest p is 2 in 3,432.

    Raises:
        ValueError: either has no samples.
    """
    if not new or not old:
        raise ValueError("a test needs samples on both sides")
    together = [*new, *old]
    ordered = np.sort(np.asarray(together, float))
    # twice the mean rank of the equal samples is whole
    ranks = (np.searchsorted(ordered, together, side="left") + np.searchsorted(ordered, together, side="right") + 1).tolist()
    counts = _subsets(ranks, len(new))
    found, centre = sum(ranks[: len(new)]), len(new) * (len(together) + 1)
    away = np.abs(np.arange(len(counts)) - centre) >= abs(found - centre)
    return float(counts[away].sum() / counts.sum())


def _subsets(ranks: Sequence[int], size: int) -> NDArray[np.float64]:
    """How many subsets of `size` of the `ranks` have each sum, by sum."""
    total = sum(sorted(ranks)[-size:])
    counts = np.zeros((size + 1, total + 1))
    counts[0, 0] = 1
    for rank in ranks:
        counts[1:, rank:] += counts[:-1, : total + 1 - rank].copy()
    return counts[size]


def discoveries(p: Sequence[float], rate: float) -> list[bool]:
    """Which of the hypotheses are rejected so that at most `rate` of the rejections are expected to be false (Benjamini and Hochberg, 1995)."""
    order = sorted(range(len(p)), key=p.__getitem__)
    passed = max((place for place, index in enumerate(order, 1) if p[index] <= rate * place / len(p)), default=0)
    chosen = set(order[:passed])
    return [index in chosen for index in range(len(p))]
