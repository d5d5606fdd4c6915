"""Learning not to learn (LNL, arXiv 1812.10352): features from which an adversary cannot tell the bias."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs, Training, outputs_of


class LearningNotToLearn(Method):
    """Two passes a batch, each with a step.

    First ``CE + weight * mean(sum of p log p)``, p being what the adversary, which this pass leaves as it is, makes of
    the features: they move to where it is undecided.  Then the cross-entropy of the adversary, which learns the bias,
    while its gradient reaches the features multiplied by ``reversal``, a negative number: they unlearn it.  With
    ``single`` both losses are one pass, which is not the published method.
    """

    def __init__(self, training: Training, weight: float, reversal: float, single: bool = False) -> None:
        super().__init__(training)
        self.adversary = nn.Linear(training.features, len(training.biases.names))
        self.weight = weight
        self.reversal = reversal
        self.single = single

    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        undecided = nn.functional.cross_entropy(outputs.logits, batch.labels) + self.weight * self.negative_entropy(outputs.features)
        if self.single:
            yield undecided + self.adversary_loss(outputs.features, batch)
        else:
            yield undecided
            yield self.adversary_loss(outputs_of(network, batch.inputs).features, batch)

    def negative_entropy(self, features: Tensor) -> Tensor:
        """Mean ``sum of p log p`` of what the adversary makes of the features; its gradient is for the features alone."""
        scores = nn.functional.linear(features, self.adversary.weight.detach(), self.adversary.bias.detach())
        logs = scores.log_softmax(1)
        return (logs.exp() * logs).sum(1).mean()

    def adversary_loss(self, features: Tensor, batch: Batch) -> Tensor:
        loss = nn.functional.cross_entropy(self.adversary(scale_gradient(features, self.reversal)), batch.biases)
        self.terms = {"adversary_loss": loss.item()}
        return loss


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """The values; a gradient on its way back through them is multiplied by ``factor``."""
    if not torch.is_grad_enabled() or not values.requires_grad:
        return values
    scaled = values.view_as(values)
    scaled.register_hook(lambda gradient: gradient * factor)
    return scaled
