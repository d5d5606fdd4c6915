"""The command line of the bias experiments."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trackbridge_examples.bias.factors import FACTORS, UNBIASED
from trackbridge_examples.bias.methods import METHODS
from trackbridge_examples.training import add_common_options, parse_with_presets, positive

CONDITIONS = {  # the bias of each factor, and the factor that methods are told of
    "one": (dict.fromkeys(FACTORS, UNBIASED) | {"distractor_color": 0.9}, "distractor_color"),
    "seven": (dict.fromkeys(FACTORS, 0.7), "distractor"),
}
PRESETS: dict[str, dict[str, object]] = {
    "quick": {"epochs": 4},
    "smoke": {"epochs": 1, "train_size": 640, "test_size": 200, "width": 16},
}


def parse(argv: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """The settings of a run; ``p`` is a mapping over all factors."""
    parser = argparse.ArgumentParser(
        prog="python -m trackbridge_examples.bias",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    methods = "; ".join(f"{name}: {method.description}" for name, method in METHODS.items())
    parser.add_argument("--method", choices=[*METHODS, "all"], default="stdm", help=f"{methods}; all: stdm, then gdro (%(default)s)")
    parser.add_argument("--condition", choices=CONDITIONS, default="one", help="which factors are biased (%(default)s)")
    parser.add_argument("--p", nargs="+", default=[], metavar="P", help="other biases: 0.5 for all factors, texture=0.9 for one")
    parser.add_argument("--explicit", choices=FACTORS, help="the factor that group DRO is told of (the condition's)")
    parser.add_argument("--epochs", type=positive, default=6, help="(%(default)s)")
    parser.add_argument("--train-size", type=positive, default=4000, help="digits, each painted twice (%(default)s)")
    parser.add_argument("--test-size", type=positive, default=1000, help="digits, each painted four times (%(default)s)")
    parser.add_argument("--cell", type=positive, default=16, help="pixels; an image has 3x3 cells (%(default)s)")
    parser.add_argument("--width", type=positive, default=32, help="channels of the first layer (%(default)s)")
    parser.add_argument("--batch-size", type=positive, default=64, help="(%(default)s)")
    parser.add_argument("--lr", type=float, default=4e-3, help="at the peak of the schedule (%(default)s)")
    parser.add_argument("--weight-decay", type=float, default=1e-5, help="(%(default)s)")
    parser.add_argument("--eta", type=float, default=0.01, help="group DRO's step size (%(default)s)")
    parser.add_argument("--contact-sheet", type=Path, metavar="FILE.png", help="draw the factors instead of training")
    add_common_options(parser, project="biased-mnist")
    args = parse_with_presets(parser, PRESETS, argv)
    bias, explicit = CONDITIONS[args.condition]
    try:
        args.p = bias | parse_p(args.p)
    except ValueError as error:
        parser.error(str(error))
    args.explicit = args.explicit or explicit
    return args


def parse_p(words: Sequence[str]) -> dict[str, float]:
    """``0.5`` is for all factors, ``texture=0.9`` for one; later words win."""
    p: dict[str, float] = {}
    for word in words:
        factor, _, number = word.rpartition("=")
        if factor and factor not in FACTORS:
            raise ValueError(f"no factor is called {factor!r}; there are {', '.join(FACTORS)}")
        if not 0 <= float(number) <= 1:
            raise ValueError(f"a bias p is between 0 and 1, not {number}")
        p |= dict.fromkeys([factor] if factor else FACTORS, float(number))
    return p
