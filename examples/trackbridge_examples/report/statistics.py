"""The few statistics of the report.

A pair is two runs of the same seed and fold, hence with the same data.  Intervals are by order statistics: they hold
whatever the distribution is, if pairs are independent.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from trackbridge_examples.bias.results import Pair

COVERAGE = 0.9
MARGIN = 1.5  # percentage points within which two accuracies are equal
LEAST_PAIRS = 7


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


def verdict(differences: Sequence[float]) -> str:
    """``equal`` where the 90 % interval of at least seven paired differences lies within 1.5 points of 0, else ``undecided``."""
    limits = interval(differences)
    equal = limits is not None and len(differences) >= LEAST_PAIRS and limits[0] >= -MARGIN and limits[1] <= MARGIN
    return "equal" if equal else "undecided"


def clustered_error(errors: Mapping[Pair, float]) -> float:
    """The standard error of a mean over seeds and folds, from that of each run, which is clustered by digit.

    The folds of a seed test different digits, so their errors are independent; another seed tests digits again, so its
    errors add up with theirs.
    """
    by_seed: defaultdict[int, list[float]] = defaultdict(list)
    for pair, error in errors.items():
        by_seed[pair.seed].append(error)
    return sum(math.hypot(*folds) for folds in by_seed.values()) / len(errors)
