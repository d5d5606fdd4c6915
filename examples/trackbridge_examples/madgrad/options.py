"""The command line of the optimizer experiment."""

import argparse
from collections.abc import Sequence

from trackbridge_examples.data import digits, fashion_mnist_or_digits
from trackbridge_examples.optimizers import OPTIMIZERS
from trackbridge_examples.sweep.options import add_engine_options
from trackbridge_examples.training import add_common_options, number_from_zero, parse_with_presets, positive, positive_number

DATASETS = {"fashion-mnist": fashion_mnist_or_digits, "digits": digits}
DEFAULT_LEARNING_RATES = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3, "madgrad": 1e-2}  # usual ones, not searched for
SEARCHED = ("optimizer", "lr", "weight_decay", "seed")
PRESETS: dict[str, dict[str, object]] = {
    "quick": {"epochs": 3, "images": 8000},
    "smoke": {"epochs": 1, "images": 1280, "test_size": 200, "width": 8, "dataset": "digits"},
}


def parse(argv: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """The settings of a run, or of all runs of the study."""
    parser = argparse.ArgumentParser(
        prog="python -m trackbridge_examples.madgrad",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rates = ", ".join(f"{name} {lr:g}" for name, lr in DEFAULT_LEARNING_RATES.items())
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="madgrad", help="(%(default)s)")
    parser.add_argument("--lr", type=positive_number, help=f"at the peak of the schedule ({rates})")
    parser.add_argument("--weight-decay", type=number_from_zero, default=0.0, help="(%(default)s)")
    parser.add_argument("--dataset", choices=DATASETS, default="fashion-mnist", help="(%(default)s)")
    parser.add_argument("--epochs", type=positive, default=5, help="(%(default)s)")
    parser.add_argument("--images", type=positive, default=16000, help="half of which train, the others validate (%(default)s)")
    parser.add_argument("--test-size", type=positive, default=10000, help="images (%(default)s)")
    parser.add_argument("--batch-size", type=positive, default=64, help="(%(default)s)")
    parser.add_argument("--width", type=positive, default=16, help="channels of the first layer (%(default)s)")
    parser.add_argument("--study", action="store_true", help="search for each optimizer's settings, then compare them over seeds")
    add_engine_options(parser)
    add_common_options(parser, project="madgrad")
    args = parse_with_presets(parser, PRESETS, argv)
    if args.study:
        given = [name for name in SEARCHED if getattr(args, name) != parser.get_default(name)]
        if given:
            parser.error(f"--study searches through these itself, or has its own: no --{given[0].replace('_', '-')}")
    args.lr = args.lr or DEFAULT_LEARNING_RATES[args.optimizer]
    return args
