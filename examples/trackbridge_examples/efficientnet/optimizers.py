"""The optimizers, each with one guessed peak learning rate: without a sweep, results do not rank them."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from trackbridge_examples.torchvision_remedy import import_torchvision

LEARNING_RATES = {"sgd": 0.1, "adam": 2e-3, "madgrad": 3e-3}


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """SGD with momentum, Adam, or MADGRAD (arXiv 2101.11075, timm's implementation), without weight decay."""
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(parameters, lr, momentum=0.9),
        "adam": lambda: torch.optim.Adam(parameters, lr),
        "madgrad": lambda: _madgrad(parameters, lr),
    }
    return makers[name]()


def _madgrad(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    import_torchvision()
    from timm.optim.madgrad import MADGRAD

    optimizer: torch.optim.Optimizer = MADGRAD(parameters, lr, momentum=0.9)
    return optimizer
