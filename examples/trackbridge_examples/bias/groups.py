"""Groups of images, as the mitigation methods and the metrics of arXiv 2104.00170 divide them.

A method that is told of one factor sees ten values x ten labels = 100 groups.  The metrics divide by factor into two:
the *majority*, where the factor has the label's biased value, and the *minority*, where it has any other.
"""

import numpy as np
from numpy.typing import NDArray

from trackbridge_examples.bias.factors import VALUES

GROUPS = VALUES * VALUES


def value_label_groups(values: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group of each image, 0..99, from one factor's values ``[n]`` and the labels ``[n]``."""
    return values * VALUES + labels


def group_name(group: int) -> str:
    """Value and label of a group, as in ``v3-y7``."""
    return f"v{group // VALUES}-y{group % VALUES}"


def in_majority(values: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each image has the biased value of its label; ``[n, 7]`` for values ``[n, 7]``."""
    return np.equal(values, labels[:, None] if values.ndim == 2 else labels)


def balanced_batches(groups: NDArray[np.int64], size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """One epoch of equal length, drawn with replacement: every group that has images is equally likely."""
    counts = np.bincount(groups)
    members = np.argsort(groups, kind="stable")
    first = np.cumsum(counts) - counts
    drawn = rng.choice(np.flatnonzero(counts), size=(len(groups) // size, size))
    return list(members[first[drawn] + rng.integers(counts[drawn])])
