"""Group distributionally robust optimisation (GDRO, arXiv 1911.08731), online."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs, Training


class GroupDRO(Method):
    """``sum of q_g * L_g`` over the groups.

    ``L_g`` is the mean cross-entropy of group g in the batch and 0 for a group that the batch lacks.  Before each
    step ``q_g`` is multiplied by ``exp(eta * L_g)`` and all are scaled to sum to 1, so that weight moves to the
    groups that do badly.  With ``normalise`` the loss is divided by the weight of the groups present, which is not
    the published method.
    """

    def __init__(self, training: Training, eta: float, normalise: bool = False) -> None:
        super().__init__(training)
        self.names = training.groups.names
        self.q: Tensor
        self.register_buffer("q", torch.full((len(self.names),), 1 / len(self.names)))
        self.losses = torch.full_like(self.q, torch.nan)  # of the last batch, NaN where it had no image of a group
        self.eta = eta
        self.normalise = normalise

    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        yield self.loss(nn.functional.cross_entropy(outputs.logits, batch.labels, reduction="none"), batch.groups)

    def loss(self, losses: Tensor, groups: Tensor) -> Tensor:
        """The loss of a batch whose images have such losses and groups; it moves the weights first."""
        counts = torch.bincount(groups, minlength=len(self.q))
        by_group = torch.zeros_like(self.q).index_add(0, groups, losses) / counts.clamp(min=1)
        weights = self.q * (self.eta * by_group.detach()).exp()
        self.q = weights / weights.sum()
        self.losses = torch.where(counts > 0, by_group.detach(), torch.nan)
        total = self.q @ by_group
        return total / self.q[counts > 0].sum() if self.normalise else total

    def group_values(self) -> dict[str, float]:
        """The weight of each group, and its loss in the last batch, which is NaN where that had no image of it."""
        columns = (("q", self.q.tolist()), ("loss", self.losses.tolist()))
        return {f"gdro/{kind}/{name}": value for kind, values in columns for name, value in zip(self.names, values, strict=True)}
