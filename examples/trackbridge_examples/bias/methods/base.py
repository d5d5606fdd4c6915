"""What a method is given, and what it does with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from trackbridge_examples.bias.groups import Groups


@dataclass(frozen=True)
class Training:
    """What a method may know of the training set before training."""

    labels: Tensor  # [n]
    groups: Groups  # by value and label
    biases: Groups  # by value alone
    environments: Groups  # what IRM calls so: the same as one of both
    classes: int
    features: int  # how long the vector before the last layer is
    make_network: Callable[[], nn.Sequential]


class Outputs(NamedTuple):
    """What the network makes of a batch."""

    features: Tensor  # [b, features]
    logits: Tensor  # [b, classes]


class Batch(NamedTuple):
    """Some training images and what is known of them."""

    inputs: Tensor  # [b, channels, height, width]
    labels: Tensor
    index: Tensor  # which training images they are
    groups: Tensor
    biases: Tensor
    environments: Tensor


def outputs_of(network: nn.Sequential, inputs: Tensor) -> Outputs:
    """The network's last layer makes logits of what the others make of the inputs."""
    features = network[:-1](inputs)
    return Outputs(features, network[-1](features))


class Method(nn.Module):
    """Base of the methods: a batch becomes one loss or more, each of which is followed by a step of the optimizer.

    Its parameters are trained with the network, and all that it remembers from batch to batch is in its ``state_dict``.
    ``terms`` are parts of the last batch's loss that are worth logging.
    """

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.terms: dict[str, float] = {}

    def passes(self, network: nn.Sequential, outputs: Outputs, batch: Batch) -> Iterator[Tensor]:
        """The losses of a batch; what comes after a ``yield`` sees the network that the step has changed."""
        raise NotImplementedError

    def group_values(self) -> dict[str, float]:
        """What the method keeps for each group."""
        return {}
