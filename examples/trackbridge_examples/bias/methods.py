"""The training losses: the standard model (StdM) and group DRO.

A loss turns the cross-entropies of a batch ``[b]`` and its groups ``[b]`` into one number.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Method:
    """What sets a method apart; ``description`` says how it differs from the method whose name it varies."""

    description: str
    group_dro: bool = False
    balanced: bool = False  # batches drawn group-balanced, as group DRO's are in arXiv 2104.00170
    normalise: bool = False


METHODS = {
    "stdm": Method("cross-entropy"),
    "stdm-balanced": Method("control: cross-entropy on group-balanced batches", balanced=True),
    "gdro": Method("group DRO on group-balanced batches", group_dro=True, balanced=True),
    "gdro-unbalanced": Method("control: group DRO without group-balanced batches", group_dro=True),
    "gdro-variant": Method(
        "group DRO whose loss is divided by the weight of the groups in the batch",
        group_dro=True,
        balanced=True,
        normalise=True,
    ),
}


class GroupDRO:
    """Group distributionally robust optimisation (arXiv 1911.08731), online: ``sum of q_g * L_g`` over the groups.

    ``L_g`` is the mean cross-entropy of group g in the batch and 0 for a group that the batch lacks.  Before each
    step ``q_g`` is multiplied by ``exp(eta * L_g)`` and all are scaled to sum to 1, so that weight moves to the
    groups that do badly.  Groups without training images never get weight.  With ``normalise`` the loss is divided by
    the weight of the groups present, which is not the published method.
    """

    def __init__(self, images_per_group: NDArray[np.int64], eta: float, normalise: bool = False) -> None:
        present = torch.from_numpy(images_per_group > 0).float()
        self.q = present / present.sum()
        self.losses = torch.full_like(self.q, torch.nan)  # of the last batch, NaN where it had no image of a group
        self.eta = eta
        self.normalise = normalise

    def __call__(self, losses: Tensor, groups: Tensor) -> Tensor:
        counts = torch.bincount(groups, minlength=len(self.q))
        by_group = torch.zeros_like(self.q).index_add(0, groups, losses) / counts.clamp(min=1)
        weights = self.q * (self.eta * by_group.detach()).exp()
        self.q = weights / weights.sum()
        self.losses = torch.where(counts > 0, by_group.detach(), torch.nan)
        total = self.q @ by_group
        return total / self.q[counts > 0].sum() if self.normalise else total


def mean_loss(losses: Tensor, groups: Tensor) -> Tensor:
    """The standard model's loss: every image counts the same, whatever its group."""
    return losses.mean()
