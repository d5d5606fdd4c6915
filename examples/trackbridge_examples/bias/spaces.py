"""The hyperparameters of every method: those of a run, and those that the study searches through.

Written before any run of the study.  Every method gets as many trials; trial 0 has the run's defaults, the others are
drawn without replacement from all combinations, the same ones for a method and its variants of the same space.
"""

import itertools
import zlib

import numpy as np

from trackbridge_examples.bias.methods import METHODS, Hyper

TRIALS = 8

SHARED: dict[str, tuple[Hyper, ...]] = {"lr": (4e-3, 1e-3, 2e-3, 8e-3), "weight_decay": (1e-5, 1e-4)}
OWN: dict[str, dict[str, tuple[Hyper, ...]]] = {
    "stdm": {},
    "upwt": {},
    "gdro": {"eta": (1e-2, 1e-3, 1e-1)},
    "rubi": {"hidden": (32.0, 128.0)},
    "lnl": {"weight": (0.01, 0.1, 1.0), "reversal": (-0.1, -0.01, -1.0)},
    "irmv1": {"weight": (0.01, 0.1, 1.0, 10.0)},
    "lff": {"q": (0.5, 0.1, 0.7)},
    "sd": {"decay": (1e-3, 1e-2, 1e-1), "gamma": (1e-3, 1.0)},
}

CELEBA: dict[str, dict[str, Hyper]] = {  # the paper's
    "stdm": {"lr": 1e-3, "weight_decay": 0.0},
    "upwt": {"lr": 1e-5, "weight_decay": 0.1},
    "gdro": {"lr": 1e-5, "weight_decay": 0.1, "eta": 0.01},
    "rubi": {"lr": 1e-4, "weight_decay": 1e-5, "hidden": 512.0},
    "lnl": {"lr": 1e-4, "weight_decay": 1e-4, "weight": 0.01, "reversal": -0.1},
    "irmv1": {"lr": 1e-4, "weight_decay": 0.0, "weight": 1.0},
    "lff": {"lr": 1e-4, "weight_decay": 0.0, "q": 0.1},
    "sd": {"lr": 1e-4, "weight_decay": 1e-5, "decay": (10.0, 10.0), "gamma": (0.44, 2.5)},
}


def space(method: str) -> dict[str, tuple[Hyper, ...]]:
    """What is searched for a method; a variant or control has the space of the method that it changes."""
    own = OWN[method.partition("-")[0]]
    return SHARED | {name: own[name] for name in METHODS[method].hyper}


def trials(method: str) -> list[dict[str, Hyper]]:
    """The combinations that are tried, the defaults first."""
    names = list(space(method))
    default, *others = itertools.product(*space(method).values())
    # One that is drawn from tries what its method tries.  One that is tried whole has an order of its own, which is how the
    # runs of ``stdm-balanced`` are numbered that are published with this project.
    drawn_as = method if len(others) < TRIALS else method.partition("-")[0]
    drawn = np.random.default_rng(zlib.crc32(drawn_as.encode())).permutation(len(others))[: TRIALS - 1]
    return [dict(zip(names, values, strict=True)) for values in (default, *(others[index] for index in drawn))]


def hyperparameters(dataset: str, method: str, trial: int) -> dict[str, Hyper]:
    """Learning rate, weight decay and the method's own."""
    if dataset == "celeba":
        known = CELEBA[method.partition("-")[0]]
        return {name: known[name] for name in ("lr", "weight_decay", *METHODS[method].hyper)}
    return trials(method)[trial]
