"""Intervals of a median by order statistics: they hold whatever the distribution is."""

import math
from collections.abc import Sequence

COVERAGE = 0.9


def interval(values: Sequence[float], coverage: float = COVERAGE) -> tuple[float, float] | None:
    """The narrowest symmetric pair of order statistics that covers the median so often; None where values are too few or NaN.

    With n values the k-th smallest and the k-th largest cover it with probability ``1 - 2 * sum of C(n, i) / 2^n, i < k``.
    """
    if any(map(math.isnan, values)):
        return None
    ordered, outside, rank = sorted(values), 0.0, 0
    while 2 * rank < len(ordered):
        outside += 2 * math.comb(len(ordered), rank) / 2 ** len(ordered)
        if 1 - outside < coverage:
            break
        rank += 1
    return (ordered[rank - 1], ordered[-rank]) if rank else None
