"""What the training script knows of a data set, be it Biased MNIST or CelebA."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trackbridge_examples.training import Pixels


@dataclass(frozen=True)
class Split:
    """Some images and everything that is known about them, for n images and k factors."""

    pixels: Pixels
    labels: NDArray[np.int64]  # [n]
    values: NDArray[np.int64]  # [n, k]
    majority: NDArray[np.bool_]  # [n, k]
    clusters: NDArray[np.int64]  # [n], images of one cluster are not independent
    groups: NDArray[np.int64] | None = None  # [n], whose accuracies the unbiased accuracy averages; None of unbiased images

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Problem:
    """A biased training set, and others that share no source image with it or each other.

    Hyperparameters are selected by the accuracy on ``validation``, which is biased like the training set, or on
    ``oracle``, which is not; never on ``test``, which is not either.
    """

    name: str
    classes: tuple[str, ...]
    factors: tuple[str, ...]
    train: Split
    validation: Split
    oracle: Split
    test: Split
    make_network: Callable[[], nn.Sequential]
    environments_have_labels: bool = False  # what IRM calls environments: groups by value and label, or by value alone
