"""The standard model, the seven mitigation methods of arXiv 2104.00170, and what they are compared with.

A name without suffix is the method of its paper.  ``-variant`` marks one whose loss is changed, ``-balanced`` and
``-unbalanced`` a control whose batches are drawn in another way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from trackbridge_examples.bias.methods.base import Batch, Method, Outputs, Training, outputs_of
from trackbridge_examples.bias.methods.gdro import GroupDRO
from trackbridge_examples.bias.methods.irmv1 import IRMv1
from trackbridge_examples.bias.methods.lff import LearningFromFailure
from trackbridge_examples.bias.methods.lnl import LearningNotToLearn
from trackbridge_examples.bias.methods.rubi import RUBi
from trackbridge_examples.bias.methods.sd import SpectralDecoupling
from trackbridge_examples.bias.methods.stdm import StandardModel
from trackbridge_examples.bias.methods.upwt import UpWeighting

__all__ = ["METHODS", "PAPER", "Batch", "Hyper", "Method", "MethodEntry", "Outputs", "Training", "outputs_of"]

Hyper: TypeAlias = float | tuple[float, ...]


@dataclass(frozen=True)
class MethodEntry:
    """A method, its hyperparameters for Biased MNIST, and how its batches are drawn."""

    description: str
    make: Callable[..., Method]  # of a Training and the hyperparameters
    hyper: dict[str, Hyper] = field(default_factory=dict)
    batches: Literal["shuffled", "balanced", "environments"] = "shuffled"
    told: bool = True  # of the explicit factors


METHODS = {
    "stdm": MethodEntry("cross-entropy", StandardModel, told=False),
    "upwt": MethodEntry("cross-entropy, weighted by the rarity of the group", UpWeighting),
    "gdro": MethodEntry("group DRO on group-balanced batches", GroupDRO, {"eta": 0.01}, "balanced"),
    "rubi": MethodEntry("logits masked by a branch that sees the bias alone", RUBi, {"hidden": 32.0}),
    "lnl": MethodEntry("an adversary unlearns the bias, in two passes", LearningNotToLearn, {"weight": 0.01, "reversal": -0.1}),
    "irmv1": MethodEntry("IRM penalty over environments", IRMv1, {"weight": 0.01}, "environments"),
    "lff": MethodEntry("images weighted by the failures of a biased network", LearningFromFailure, {"q": 0.5}, told=False),
    "sd": MethodEntry("penalty on the true class's logit", SpectralDecoupling, {"decay": 1e-3, "gamma": 1e-3}, told=False),
    "stdm-balanced": MethodEntry("control: cross-entropy on group-balanced batches", StandardModel, batches="balanced"),
    "gdro-unbalanced": MethodEntry("control: group DRO without group-balanced batches", GroupDRO, {"eta": 0.01}),
    "upwt-variant": MethodEntry("up-weighting whose weights sum to 1 in a batch", partial(UpWeighting, normalise=True)),
    "gdro-variant": MethodEntry(
        "group DRO whose loss is divided by the weight of the groups in the batch",
        partial(GroupDRO, normalise=True),
        {"eta": 0.01},
        "balanced",
    ),
    "rubi-variant": MethodEntry("RUBi with a linear branch whose mask is its answer", partial(RUBi, hidden=0)),
    "lnl-variant": MethodEntry(
        "learning not to learn in a single pass",
        partial(LearningNotToLearn, single=True),
        {"weight": 0.01, "reversal": -0.1},
    ),
}
PAPER = ("stdm", "upwt", "gdro", "rubi", "lnl", "irmv1", "lff", "sd")  # in the order of the paper's Table 1
