"""The few statistics of the report. Intervals are the range of the repeats: with seven, it covers the median in 98 of 100 cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

__all__ = ["exponent", "line", "median", "quantile"]


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
