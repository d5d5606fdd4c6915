"""The network of the bias experiments; the paper's is too slow without a GPU, so this one strides early."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def make_network(width: int) -> nn.Sequential:
    """Four convolutions, global average pooling, and a linear layer to ten logits; 244,010 parameters at width 32."""
    network = nn.Sequential(
        *_block(3, width, kernel=5, stride=2),
        *_block(width, 2 * width, kernel=3, stride=2),
        *_block(2 * width, 4 * width, kernel=3, stride=2),
        *_block(4 * width, 4 * width, kernel=3, stride=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )
    return nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def network_input(pixels: NDArray[np.uint8]) -> Tensor:
    """Images ``[n, h, w, 3]`` as the network wants them: ``[n, 3, h, w]`` (channels last in memory), from -1 to 1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
