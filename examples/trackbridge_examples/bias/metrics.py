"""The measures of arXiv 2104.00170, in percent and percentage points.

Each image of the unbiased test set is, for each factor, in the majority (about one in ten) or the minority.  MMD, the
majority/minority difference, tells how far a model leans on the factor; IOSM, the improvement over the standard
model, tells what a method gained over plain training with the same seed and data.  A part without images has no
accuracy: NaN, never 0.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trackbridge_examples.bias.factors import FACTORS
from trackbridge_examples.bias.groups import in_majority
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


def factor_accuracies(correct: NDArray[np.bool_], values: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, FactorAccuracy]:
    """Majority and minority accuracy by every factor, from ``[n]``, ``[n, 7]`` and ``[n]``."""
    majority = in_majority(values, labels)
    return {
        factor: FactorAccuracy(accuracy(correct[majority[:, index]]), accuracy(correct[~majority[:, index]]))
        for index, factor in enumerate(FACTORS)
    }


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
