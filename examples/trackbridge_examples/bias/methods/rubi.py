"""Reducing unimodal biases (RUBi, arXiv 1906.10169): a branch that sees the bias alone masks what the bias explains."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs, Training


class RUBi(Method):
    """``CE(logits * sigmoid(mask)) + CE(answer)``: the branch makes the mask of the one-hot bias, and its answer of the mask.

    The branch is a perceptron with ``hidden`` units, and a linear layer makes its answer, so that what the answer
    learns need not be a good mask.  At test time the branch is left out.  With ``hidden`` 0 the branch is linear and
    its mask is its answer, which is not the published method.
    """

    def __init__(self, training: Training, hidden: float) -> None:
        super().__init__(training)
        inputs, classes, units = len(training.biases.names), training.classes, int(hidden)
        self.inputs = inputs
        if units:
            self.mask = nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, classes))
            self.answer: nn.Module = nn.Linear(classes, classes)
        else:
            self.mask, self.answer = nn.Sequential(nn.Linear(inputs, classes)), nn.Identity()

    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        mask = self.mask(nn.functional.one_hot(batch.biases, self.inputs).float())
        masked = nn.functional.cross_entropy(outputs.logits * torch.sigmoid(mask), batch.labels)
        answered = nn.functional.cross_entropy(self.answer(mask), batch.labels)
        self.terms = {"branch_loss": answered.item()}
        yield masked + answered
