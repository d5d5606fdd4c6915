"""The networks: timm's, whose import needs torchvision, whose import may need a remedy; and what they count."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trackbridge_examples.torchvision_remedy import import_torchvision

SMALL = "test_efficientnet"
FAMILIES = {  # timm's model that a width and depth of 1 give, and its builder, which takes other ones
    "small": (SMALL, "_gen_test_efficientnet"),
    "v1": ("efficientnet_b0", "_gen_efficientnet"),
    "v2": ("tf_efficientnetv2_b0", "_gen_efficientnetv2_base"),
}
LAYOUTS = {"nchw": torch.contiguous_format, "channels-last": torch.channels_last}


@dataclass(frozen=True)
class Architecture:
    """A member of a family, with so many times its channels and its blocks, both rounded as in the papers.

    ``small`` is timm's ``test_efficientnet``: stem, ConvBn, two Fused-MBConv, two MBConv.  ``v1`` is EfficientNet-B0 of
    MBConv blocks (arXiv 1905.11946), ``v2`` is EfficientNetV2-B0 of Fused-MBConv, then MBConv (arXiv 2104.00298).
    """

    family: str = "small"
    width: float = 1.0
    depth: float = 1.0

    def __str__(self) -> str:
        scaled = (self.width, self.depth) != (1.0, 1.0)
        return FAMILIES[self.family][0] + (f" width {self.width:.3g} depth {self.depth:.3g}" if scaled else "")

    def build(self, classes: int, layout: str = "channels-last") -> nn.Module:
        """The network with random weights, which lie in memory as ``layout`` says."""
        import_torchvision()
        from timm.models import efficientnet

        name, builder = FAMILIES[self.family]
        network: nn.Module = getattr(efficientnet, builder)(
            name, channel_multiplier=self.width, depth_multiplier=self.depth, num_classes=classes, drop_rate=0.1
        )
        return nn.utils.convert_conv2d_weight_memory_format(network, LAYOUTS[layout])


def create_model(name: str, **settings: Any) -> nn.Module:
    """A timm model with random weights."""
    import_torchvision()
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False, **settings)
    return model


def make_network(classes: int) -> nn.Module:
    """The small EfficientNetV2; 101,766 parameters for 10 classes."""
    return Architecture().build(classes)


def count_parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, size: int) -> int:
    """Multiply-adds of convolutions and matrix products for one image; the papers call these FLOPs.

    Torch counts a multiplication and an addition as two.  On the meta device nothing is allocated or computed.
    """
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, size, size, device=device))
    network.train(training)
    return int(counter.get_total_flops()) // 2


@cache
def counts(architecture: Architecture, classes: int, size: int) -> tuple[int, int]:
    """The parameters and multiply-adds that an architecture would have."""
    with torch.device("meta"):
        network = architecture.build(classes)
    return count_parameters(network), count_multiply_adds(network, size)
