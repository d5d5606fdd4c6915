"""The few statistics of the report.

A pair is two runs of the same seed and fold, hence with the same data.  Intervals are by order statistics: they hold
whatever the distribution is, if pairs are independent.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from trackbridge_examples.bias.results import Pair
from trackbridge_examples.intervals import interval
from trackbridge_examples.report.words import mean, signed

MARGIN = 1.5  # percentage points within which two accuracies are equal
LEAST_PAIRS = 7


def verdict(differences: Sequence[float]) -> str:
    """What the 90 % interval of at least seven paired differences says of two accuracies.

    ``equal`` where it lies within 1.5 points of 0, ``different`` where all of it lies farther off, else ``undecided``.
    """
    limits = interval(differences)
    if limits is None or len(differences) < LEAST_PAIRS:
        return "undecided"
    low, high = limits
    if low >= -MARGIN and high <= MARGIN:
        return "equal"
    return "different" if low > MARGIN or high < -MARGIN else "undecided"


def against(differences: Sequence[float]) -> tuple[str, str, str]:
    """The mean of paired differences, the interval, and whether they mean equal, as the report shows it."""
    limits = interval(differences)
    bounds = f"{signed(limits[0])} to {signed(limits[1])}" if limits else f"too few pairs ({len(differences)})"
    return signed(mean(differences)), bounds, verdict(differences)


def clustered_error(errors: Mapping[Pair, float]) -> float:
    """The standard error of a mean over seeds and folds, from that of each run, which is clustered by digit.

    The folds of a seed test different digits, so their errors are independent; another seed tests digits again, so its
    errors add up with theirs.
    """
    by_seed: defaultdict[int, list[float]] = defaultdict(list)
    for pair, error in errors.items():
        by_seed[pair.seed].append(error)
    return sum(math.hypot(*folds) for folds in by_seed.values()) / len(errors)
