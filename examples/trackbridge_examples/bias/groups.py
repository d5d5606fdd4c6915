"""Groups of images, as the mitigation methods and the metrics of arXiv 2104.00170 divide them.

A method is told of some factors, the *explicit* ones.  Images with the same values of those, and where it matters the
same label, are a group: 100 of them for one factor of ten values and ten labels, many more for the product of several
factors, of which only those exist that training images have.  The metrics divide by factor into two: the *majority*,
where the factor has the label's biased value, and the *minority*, where it has any other.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Groups(NamedTuple):
    """Which group each image is in; groups are numbered from 0, and each has at least one image."""

    index: NDArray[np.int64]  # [n]
    names: tuple[str, ...]

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.bincount(self.index, minlength=len(self.names))


def group_by(values: NDArray[np.int64], labels: NDArray[np.int64] | None = None) -> Groups:
    """Groups of equal ``values`` ``[n, k]`` and ``labels`` ``[n]``, named like ``v3-y7``, or ``v3.0-y7`` for two factors."""
    rows = values if labels is None else np.column_stack([values, labels])
    unique, index = np.unique(rows, axis=0, return_inverse=True)
    factors = [".".join(map(str, row)) for row in unique[:, : values.shape[1]].tolist()]
    ends = [""] * len(unique) if labels is None else [f"-y{label}" for label in unique[:, -1].tolist()]
    return Groups(index.reshape(-1), tuple(f"v{value}{end}" for value, end in zip(factors, ends, strict=True)))


def in_majority(values: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each image has the biased value of its label; ``[n, 7]`` for values ``[n, 7]`` of Biased MNIST."""
    return np.equal(values, labels[:, None])


def balanced_batches(groups: NDArray[np.int64], size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """One epoch of equal length, drawn with replacement: every group that has images is equally likely."""
    counts, members, first = _by_group(groups)
    drawn = rng.choice(np.flatnonzero(counts), size=(len(groups) // size, size))
    return list(members[first[drawn] + rng.integers(counts[drawn])])


def environment_batches(environments: NDArray[np.int64], size: int, most: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """One epoch of equal length: each batch has at most ``most`` environments, and of each as many images, drawn with replacement."""
    counts, members, first = _by_group(environments)
    existing = np.flatnonzero(counts)
    number = min(most, len(existing), size)
    batches = []
    for _ in range(len(environments) // size):
        drawn: NDArray[np.int64] = np.repeat(rng.permutation(existing)[:number], size // number)
        batches.append(members[first[drawn] + rng.integers(counts[drawn])])
    return batches


def _by_group(groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """How many images each group has, all images ordered by group, and where in this order each group begins."""
    counts = np.bincount(groups)
    return counts, np.argsort(groups, kind="stable"), np.cumsum(counts) - counts
