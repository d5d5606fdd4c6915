"""Invariant risk minimisation (IRMv1, arXiv 1907.02893): one classifier that is best in every environment."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs, Training


class IRMv1(Method):
    """``CE + weight * sum over environments of g_1 * g_2``.

    g is the derivative of an environment's mean cross-entropy by a dummy scale of the logits, at scale 1.  Its square
    is estimated without bias by the product of those of two halves of the environment's images (appendix D of the
    paper), so the penalty is at times negative.
    """

    def __init__(self, training: Training, weight: float) -> None:
        super().__init__(training)
        self.weight = weight

    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        penalty = irm_penalty(outputs.logits, batch.labels, batch.environments)
        self.terms = {"irm_penalty": penalty.item()}
        yield nn.functional.cross_entropy(outputs.logits, batch.labels) + self.weight * penalty


def irm_penalty(logits: Tensor, labels: Tensor, environments: Tensor) -> Tensor:
    """Sum of ``g_1 * g_2`` over the environments that have two images or more: every other one is in the same half."""
    halves = halves_of(environments)
    scales = logits.new_ones(int(halves.max()) // 2 * 2 + 2).requires_grad_()
    losses = nn.functional.cross_entropy(logits * scales[halves, None], labels, reduction="none")
    counts = torch.bincount(halves, minlength=len(scales))
    means = torch.zeros_like(scales).index_add(0, halves, losses) / counts.clamp(min=1)
    (gradients,) = torch.autograd.grad(means.sum(), scales, create_graph=True)
    return gradients.view(-1, 2).prod(1).sum()


def halves_of(environments: Tensor) -> Tensor:
    """For each image ``2 e`` or ``2 e + 1``, in turn, e counting the environments that are present."""
    _, present, counts = environments.unique(return_inverse=True, return_counts=True)
    order = present.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order)) - (counts.cumsum(0) - counts)[present[order]]
    return 2 * present + rank % 2
