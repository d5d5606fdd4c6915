"""Spectral decoupling (SD, arXiv 2011.09468): a penalty on logits keeps one feature from starving the others."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs, Training


class SpectralDecoupling(Method):
    """``mean(CE + decay / 2 * (logit of the true class - gamma)^2)``; decay and gamma are one number, or one for each class."""

    def __init__(self, training: Training, decay: float | tuple[float, ...], gamma: float | tuple[float, ...]) -> None:
        super().__init__(training)
        self.decay, self.gamma = (torch.tensor(number).broadcast_to(training.classes) for number in (decay, gamma))

    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        true = outputs.logits.gather(1, batch.labels[:, None]).squeeze(1)
        penalty = (self.decay[batch.labels] / 2 * (true - self.gamma[batch.labels]).square()).mean()
        self.terms = {"decoupling_penalty": penalty.item()}
        yield nn.functional.cross_entropy(outputs.logits, batch.labels) + penalty
