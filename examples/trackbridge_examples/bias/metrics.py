"""The measures of arXiv 2104.00170, in percent and percentage points.

Each image of a test set is, for each factor, in the majority or the minority.  MMD, the majority/minority difference,
tells how far a model leans on the factor; IOSM, the improvement over the standard model, tells what a method gained
over plain training with the same seed and data.  A part without images has no accuracy: NaN, never 0.

The same digit is shown more than once, so images are not independent: standard errors are clustered by digit.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trackbridge_examples.training import accuracy


class FactorAccuracy(NamedTuple):
    """Accuracy on the two sides of one factor."""

    majority: float
    minority: float

    @property
    def mmd(self) -> float:
        return self.majority - self.minority

    def iosm(self, standard: "FactorAccuracy") -> "FactorAccuracy":
        """What each side gained over the standard model."""
        return FactorAccuracy(self.majority - standard.majority, self.minority - standard.minority)


def factor_accuracies(correct: NDArray[np.bool_], majority: NDArray[np.bool_], factors: Sequence[str]) -> dict[str, FactorAccuracy]:
    """Majority and minority accuracy by each of k factors, from ``[n]`` and ``[n, k]``."""
    return {
        factor: FactorAccuracy(accuracy(correct[side]), accuracy(correct[~side])) for factor, side in zip(factors, majority.T, strict=True)
    }


def unbiased_accuracy(correct: NDArray[np.bool_], groups: NDArray[np.int64] | None = None) -> float:
    """The mean over unbiased images; for images that are biased, the mean of their groups' accuracies."""
    if groups is None:
        return accuracy(correct)
    return float(np.mean([accuracy(correct[groups == group]) for group in np.unique(groups)]))


def group_accuracies(correct: NDArray[np.bool_], values: NDArray[np.int64], labels: NDArray[np.int64]) -> list[tuple[int, int, int, float]]:
    """(value, label, images, accuracy) of every group of one factor's values ``[n]`` that has images."""
    pairs, index = np.unique(np.column_stack([values, labels]), axis=0, return_inverse=True)
    parts = [correct[index.reshape(-1) == group] for group in range(len(pairs))]
    return [(value, label, len(part), accuracy(part)) for (value, label), part in zip(pairs.tolist(), parts, strict=True)]


def mmd_error(correct: NDArray[np.bool_], majority: NDArray[np.bool_], clusters: NDArray[np.int64]) -> float:
    """The standard error of an MMD from ``[n]`` and ``[n]``, where images of one cluster ``[n]`` may depend on each other."""
    sides = (majority, ~majority)
    if not all(side.any() for side in sides):
        return float("nan")
    share = np.zeros(len(correct))  # what each image moves the difference by
    for sign, side in zip((1, -1), sides, strict=True):
        share[side] = sign * (correct[side] - correct[side].mean()) / side.sum()
    return 100.0 * float(np.sqrt(np.square(np.bincount(clusters, weights=share)).sum()))


def as_scalars(factors: Mapping[str, FactorAccuracy], standard: Mapping[str, FactorAccuracy] | None = None) -> dict[str, float]:
    """The metrics under the names they are logged by; IOSM only where there is a standard model to compare with."""
    scalars = {}
    for factor, result in factors.items():
        scalars[f"accuracy/{factor}/majority"] = result.majority
        scalars[f"accuracy/{factor}/minority"] = result.minority
        scalars[f"mmd/{factor}"] = result.mmd
        if standard is not None:
            improvement = result.iosm(standard[factor])
            scalars[f"iosm/{factor}/majority"] = improvement.majority
            scalars[f"iosm/{factor}/minority"] = improvement.minority
    return scalars
