"""The standard model (StdM): cross-entropy, and every image counts the same."""

from collections.abc import Iterator

from torch import Tensor, nn

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs


class StandardModel(Method):
    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        yield nn.functional.cross_entropy(outputs.logits, batch.labels)
