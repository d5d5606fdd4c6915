"""The command line of the bias experiments."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trackbridge_examples.bias import celeba
from trackbridge_examples.bias.factors import FACTORS, UNBIASED
from trackbridge_examples.bias.generate import LEAST_CELL
from trackbridge_examples.bias.methods import METHODS, PAPER, Hyper
from trackbridge_examples.bias.spaces import TRIALS, hyperparameters
from trackbridge_examples.data import FOLDS
from trackbridge_examples.training import add_common_options, number_from_zero, parse_with_presets, positive, positive_number

CONDITIONS = {  # the bias of each factor, and the factor that methods are told of
    "one": (dict.fromkeys(FACTORS, UNBIASED) | {"distractor_color": 0.9}, "distractor_color"),
    "seven": (dict.fromkeys(FACTORS, 0.7), "distractor"),
}
SETS_OF_METHODS = {"all": ("stdm", "gdro"), "paper": PAPER}
DATASETS: dict[str, dict[str, object]] = {  # defaults
    "biased-mnist": {"epochs": 6, "batch_size": 64, "train_size": 3500, "val_size": 500, "test_size": 1000},
    "celeba": {"epochs": 50, "batch_size": 128},
}
ONLY_BIASED_MNIST = ("condition", "p", "explicit", "shuffle_labels", "fold", "trial")
PRESETS: dict[str, dict[str, object]] = {
    "quick": {"epochs": 4},
    "smoke": {"epochs": 1, "train_size": 640, "val_size": 100, "test_size": 200, "width": 16, "size": 64},
}


def parse(argv: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """The settings of a run; ``method`` is a list, ``explicit`` too, ``p`` a mapping over all factors."""
    parser = argparse.ArgumentParser(
        prog="python -m trackbridge_examples.bias",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    methods = "; ".join(f"{name}: {method.description}" for name, method in METHODS.items())
    parser.add_argument(
        "--method",
        nargs="+",
        choices=[*METHODS, *SETS_OF_METHODS],
        default=["stdm"],
        help=f"{methods}; all: stdm, then gdro; paper: the eight of the paper; those after stdm log IOSM (stdm)",
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=X", help="other hyperparameters of the method, like eta=0.1")
    parser.add_argument("--lr", type=positive_number, help="at the peak of the schedule (0.004)")
    parser.add_argument("--weight-decay", type=number_from_zero, help="(1e-5)")
    parser.add_argument("--trial", type=int, choices=range(TRIALS), default=0, help="hyperparameters from the search space (%(default)s)")
    parser.add_argument("--dataset", choices=DATASETS, default="biased-mnist", help="(%(default)s)")
    parser.add_argument("--condition", choices=CONDITIONS, default="one", help="which factors are biased (%(default)s)")
    parser.add_argument("--p", nargs="+", default=[], metavar="P", help="other biases: 0.5 for all factors, texture=0.9 for one")
    parser.add_argument(
        "--explicit",
        nargs="+",
        choices=FACTORS,
        default=[],
        metavar="FACTOR",
        help="the factors that methods are told of (the condition's)",
    )
    parser.add_argument("--shuffle-labels", action="store_true", help="control: training labels that say nothing of the images")
    parser.add_argument("--fold", type=int, choices=range(FOLDS), default=0, help="which digits are the test's (%(default)s)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="CelebA's folder")
    parser.add_argument("--size", type=positive, default=224, help="pixels of CelebA's images (%(default)s)")
    parser.add_argument("--epochs", type=positive, help="(6; CelebA 50)")
    parser.add_argument("--train-size", type=positive, help="digits, each painted twice (3500); photos (all)")
    parser.add_argument("--val-size", type=positive, help="digits, each painted twice (500); photos (all)")
    parser.add_argument("--test-size", type=positive, help="digits, each painted four times (1000); photos (all)")
    parser.add_argument("--cell", type=positive, default=16, help="pixels; an image has 3x3 cells (%(default)s)")
    parser.add_argument("--width", type=positive, default=32, help="channels of the first layer (%(default)s)")
    parser.add_argument("--batch-size", type=positive, help="(64; CelebA 128)")
    parser.add_argument("--contact-sheet", type=Path, metavar="FILE.png", help="draw the factors instead of training")
    parser.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="save each epoch's state here; the same command then goes on from it"
    )
    parser.add_argument(
        "--preempt-at", type=positive, metavar="STEP", help="kill the process at this step, as a cluster may (needs --checkpoints)"
    )
    add_common_options(parser, project="biased-mnist")
    parser.set_defaults(**DATASETS[parser.parse_known_args(argv)[0].dataset])
    args = parse_with_presets(parser, PRESETS, argv)

    if args.preempt_at and not args.checkpoints:
        parser.error("--preempt-at loses the run without --checkpoints DIR")
    if args.cell < LEAST_CELL:
        parser.error(f"--cell is at least {LEAST_CELL}: in fewer pixels, shapes look alike")
    args.method = [name for word in args.method for name in SETS_OF_METHODS.get(word, (word,))]
    if args.checkpoints and len(args.method) > 1:
        parser.error("--checkpoints is for one run: give one --method")
    try:
        args.set = parse_hyper(args.set)
        for method in args.method:
            settings_of(args, method)
        p = parse_p(args.p)
    except ValueError as error:
        parser.error(str(error))
    if args.dataset == "celeba":
        given = [name for name in ONLY_BIASED_MNIST if getattr(args, name) != parser.get_default(name)]
        if given:
            parser.error(f"CelebA is as it is: no --{given[0].replace('_', '-')}")
        args.condition, args.p, args.explicit = "celeba", {}, list(celeba.FACTORS)
    else:
        bias, explicit = CONDITIONS[args.condition]
        args.p = bias | p
        args.explicit = list(dict.fromkeys(args.explicit)) or [explicit]
    return args


def parse_p(words: Sequence[str]) -> dict[str, float]:
    """``0.5`` is for all factors, ``texture=0.9`` for one; later words win."""
    p: dict[str, float] = {}
    for word in words:
        factor, _, number = word.rpartition("=")
        if factor and factor not in FACTORS:
            raise ValueError(f"no factor is called {factor!r}; there are {', '.join(FACTORS)}")
        bias = number_in(number, f"{word!r} is no bias: give 0.5 for all factors, texture=0.9 for one")
        if not 0 <= bias <= 1:
            raise ValueError(f"a bias p is between 0 and 1, not {number}")
        p |= dict.fromkeys([factor] if factor else FACTORS, bias)
    return p


def parse_hyper(words: Sequence[str]) -> dict[str, Hyper]:
    """``eta=0.1``, or a number for each class: ``gamma=0.44,2.5``."""
    hyper: dict[str, Hyper] = {}
    for word in words:
        name, _, text = word.partition("=")
        numbers = tuple(number_in(number, f"{word!r} is no hyperparameter: give one like eta=0.1") for number in text.split(","))
        hyper[name] = numbers if len(numbers) > 1 else numbers[0]
    return hyper


def number_in(text: str, complaint: str) -> float:
    """The number that a text is; else a ``ValueError`` with the complaint."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(complaint) from None


def settings_of(args: argparse.Namespace, method: str) -> dict[str, Hyper]:
    """The hyperparameters of one of the methods: its defaults or those of its trial, and over them what is given."""
    settings = hyperparameters(args.dataset, method, args.trial)
    given: dict[str, Hyper] = {
        name: value for name, value in (("lr", args.lr), ("weight_decay", args.weight_decay)) if value is not None
    } | args.set
    unknown = given.keys() - settings.keys()
    if unknown:
        raise ValueError(f"{method} has no {', '.join(sorted(unknown))}; there are {', '.join(settings)}")
    return settings | given
