"""Group up-weighting (UpWt): an image counts as much as its group is rare."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs, Training


class UpWeighting(Method):
    """The mean of ``CE * N / N_g``, N training images and N_g of them in the image's group.

    With ``normalise`` the weights of a batch sum to 1, so that a batch with rare groups is no larger a step; that is
    not the published method.
    """

    def __init__(self, training: Training, normalise: bool = False) -> None:
        super().__init__(training)
        self.weights = len(training.labels) / torch.from_numpy(training.groups.sizes).float()
        self.normalise = normalise

    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        weights = self.weights[batch.groups]
        losses = weights * nn.functional.cross_entropy(outputs.logits, batch.labels, reduction="none")
        yield losses.sum() / weights.sum() if self.normalise else losses.mean()
