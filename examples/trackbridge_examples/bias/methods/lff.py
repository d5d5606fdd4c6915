"""Learning from failure (LFF, arXiv 2007.02561): a second network learns what is easy, the first learns the rest."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs, Training

MOMENTUM = 0.7  # of the moving averages
SMALLEST = 1e-8  # keeps 0 / 0 away


class LearningFromFailure(Method):
    """``mean(W * CE) + mean(GCE of the biased network)``, with ``W = L_b / (L_b + L_m)``.

    GCE, the generalised cross-entropy ``CE * q * p_y^q``, teaches the biased network the more of an image the more of it
    it knows already.  L_b and L_m are the networks' losses of the image: moving averages over its visits, each divided
    by the largest of its class.
    """

    def __init__(self, training: Training, q: float) -> None:
        super().__init__(training)
        self.biased = training.make_network()
        self.averages = nn.ModuleList(MovingAverage(training.labels) for _ in range(2))
        self.q = q

    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        logits = self.biased(batch.inputs)
        biased_losses, losses = (nn.functional.cross_entropy(scores, batch.labels, reduction="none") for scores in (logits, outputs.logits))
        pairs = zip(self.averages, (biased_losses, losses), strict=True)
        easy, hard = (average.update(batch.index, values.detach()) for average, values in pairs)
        weights = easy / (easy + hard + SMALLEST)
        biased_loss = (biased_losses * generalised_weights(logits, batch.labels, self.q)).mean()
        self.terms = {"biased_loss": biased_loss.item(), "difficulty": weights.mean().item()}
        yield (weights * losses).mean() + biased_loss


class MovingAverage(nn.Module):
    """Of each training image's loss; the first value is taken as it is."""

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        self.labels = labels
        self.values: Tensor
        self.seen: Tensor
        self.register_buffer("values", torch.zeros(len(labels)))
        self.register_buffer("seen", torch.zeros(len(labels), dtype=torch.bool))

    def update(self, index: Tensor, losses: Tensor) -> Tensor:
        """The averages of the images at ``index``, each as a part of the largest average of its class."""
        kept = torch.where(self.seen[index], MOMENTUM, 0.0)
        self.values[index] = kept * self.values[index] + (1 - kept) * losses
        self.seen[index] = True
        labels = self.labels[index]
        largest = torch.zeros(int(self.labels.max()) + 1).scatter_reduce(0, self.labels, self.values, "amax")
        return self.values[index] / largest[labels].clamp(min=SMALLEST)


def generalised_weights(logits: Tensor, labels: Tensor, q: float) -> Tensor:
    """What turns each cross-entropy into the generalised one: ``q * p_y^q``, of which there is no gradient."""
    right = logits.detach().softmax(1).gather(1, labels[:, None]).squeeze(1)
    return q * right**q
