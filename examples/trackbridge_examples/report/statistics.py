"""The few statistics of the report.

A pair is two runs of the same seed and fold, hence with the same data.  Intervals are by order statistics: they hold
whatever the distribution is, if pairs are independent.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from trackbridge_examples.bias.results import Pair
from trackbridge_examples.intervals import interval

MARGIN = 1.5  # percentage points within which two accuracies are equal
LEAST_PAIRS = 7


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
