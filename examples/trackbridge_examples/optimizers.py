"""The optimizers of the examples, with their usual momentum: SGD, Adam, AdamW, and MADGRAD (arXiv 2101.11075, timm's implementation)."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from trackbridge_examples.torchvision_remedy import import_torchvision


def _madgrad(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    import_torchvision()
    from timm.optim.madgrad import MADGRAD

    optimizer: torch.optim.Optimizer = MADGRAD(parameters, lr, momentum=0.9, weight_decay=weight_decay)
    return optimizer


OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], float, float], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, lr, decay: torch.optim.SGD(parameters, lr, momentum=0.9, weight_decay=decay),
    "adam": lambda parameters, lr, decay: torch.optim.Adam(parameters, lr, weight_decay=decay),
    "adamw": lambda parameters, lr, decay: torch.optim.AdamW(parameters, lr, weight_decay=decay),
    "madgrad": _madgrad,
}
"""By name: parameters, learning rate, weight decay.  AdamW's decay (arXiv 1711.05101) is applied to the weights in
proportion to the learning rate; the others', MADGRAD's in timm's implementation among them, is added to the gradient."""
