"""The command line of the EfficientNet experiments."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trackbridge_examples.efficientnet.augment import SIZE
from trackbridge_examples.efficientnet.tasks import LOADERS, NEED_ROOT
from trackbridge_examples.efficientnet.versions import SCALES
from trackbridge_examples.training import add_common_options, parse_with_presets, positive, positive_number

LEARNING_RATES = {"sgd": 0.1, "adam": 2e-3, "madgrad": 3e-3}  # one guess for each: without a sweep, results do not rank optimizers
STUDIES: dict[str, dict[str, object]] = {  # defaults
    "papers": {},
    "scaling": {"train_size": 3000},
    "versions": {"train_size": 2000, "epochs": 3},
    "progressive": {"epochs": 8},
}
PRESETS: dict[str, dict[str, object]] = {
    "quick": {"epochs": 3, "times": [2.7], "scales": ["small"], "rounds": 5},
    "smoke": {
        "epochs": 1, "train_size": 640, "test_size": 200, "dataset": "digits", "times": [2.7], "scales": ["small"], "rounds": 2,
    },
}  # fmt: skip


def parse(argv: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """The settings of a run, or of the runs of a study."""
    study = argparse.ArgumentParser(add_help=False)
    study.add_argument("--study", choices=STUDIES, help="compare several networks, or count the papers' (train one)")
    parser = argparse.ArgumentParser(
        prog="python -m trackbridge_examples.efficientnet",
        parents=[study],
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rates = ", ".join(f"{name} {lr:g}" for name, lr in LEARNING_RATES.items())
    parser.add_argument("--optimizer", choices=LEARNING_RATES, default="madgrad", help="(%(default)s)")
    parser.add_argument("--lr", type=positive_number, help=f"at the peak of the schedule ({rates})")
    parser.add_argument("--dataset", choices=LOADERS, default="fashion-mnist", help="(%(default)s)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the folder of CIFAR-10's binary version, or of ImageNet's train and val")
    parser.add_argument("--size", type=positive, default=SIZE, help="pixels along an edge of what the network sees (%(default)s)")
    parser.add_argument("--epochs", type=positive, default=4, help="(%(default)s)")
    parser.add_argument("--train-size", type=positive, default=6000, help="images (%(default)s)")
    parser.add_argument("--test-size", type=positive, default=1500, help="images (%(default)s)")
    parser.add_argument("--batch-size", type=positive, default=64, help="(%(default)s)")
    parser.add_argument(
        "--times", type=positive_number, nargs="+", default=[2.7, 3.9], help="scaling: multiply-adds of the base (%(default)s)"
    )
    parser.add_argument("--scales", nargs="+", choices=SCALES, default=list(SCALES), help="versions: sizes (%(default)s)")
    parser.add_argument("--rounds", type=positive, default=20, help="versions: steps of each network that are timed (%(default)s)")
    parser.add_argument("--source", help="where a study's finished trainings are read back from: a backend (the journals)")
    parser.add_argument("--table", action="store_true", help="count the published models' parameters instead of training")
    add_common_options(parser, project="efficientnet")
    parser.set_defaults(**STUDIES.get(study.parse_known_args(argv)[0].study, {}))
    args = parse_with_presets(parser, PRESETS, argv)
    if args.dataset in NEED_ROOT and args.root is None:
        parser.error(f"{args.dataset} comes in no package: download it and name its folder with --root DIR")
    if min(args.times) < 1:
        parser.error(f"--times is at least 1, not {min(args.times):g}: the base is the smallest network")
    args.lr = args.lr or LEARNING_RATES[args.optimizer]
    return args
