"""The networks: timm's, whose import needs torchvision, whose import may need a remedy."""

from typing import Any

import torch
from torch import nn

from trackbridge_examples.torchvision_remedy import import_torchvision

SMALL = "test_efficientnet"


def create_model(name: str, **settings: Any) -> nn.Module:
    """A timm model with random weights."""
    import_torchvision()
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False, **settings)
    return model


def make_network(classes: int) -> nn.Module:
    """timm's small EfficientNetV2: stem, ConvBn, two Fused-MBConv, two MBConv; 101,766 parameters for 10 classes."""
    network = create_model(SMALL, num_classes=classes, drop_rate=0.1)
    return nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
