"""EfficientNet against EfficientNetV2: MBConv against Fused-MBConv, at three sizes and in two memory layouts.

What a step costs depends on size and layout, so the four networks of a size take turns, step by step, and each round
gives one ratio.  Accuracy comes from trainings of their own.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np
import torch

import trackbridge
from trackbridge_examples.efficientnet.augment import Stage, network_input
from trackbridge_examples.efficientnet.comparison import Row, cost, log_comparison, row
from trackbridge_examples.efficientnet.network import LAYOUTS, Architecture
from trackbridge_examples.efficientnet.run import Plan, Result, cpu_time, group, train, train_step
from trackbridge_examples.efficientnet.tasks import Task
from trackbridge_examples.intervals import interval
from trackbridge_examples.optimizers import OPTIMIZERS
from trackbridge_examples.training import seed_everything

SCALES = {  # equally deep; the second is so wide that the parameters for ten classes differ by less than 2 %
    "small": (Architecture("v1", 0.35, 0.5), Architecture("v2", 0.32, 0.5)),
    "half": (Architecture("v1", 0.5, 0.6), Architecture("v2", 0.47, 0.6)),
    "full": (Architecture("v1"), Architecture("v2", 0.82)),
}
WARM_UP = 2  # rounds that are not counted
Contender = tuple[str, str]  # version and layout


def versions(args: argparse.Namespace, task: Task) -> list[Result]:
    """Times and trains both versions in both layouts at each of ``args.scales``."""
    results: list[Result] = []
    rows: list[Row] = []
    ratios: list[Row] = []
    for scale in args.scales:
        ratios += log_step_times(args, task, scale)
        for version in SCALES[scale]:
            for layout in LAYOUTS:
                plan = Plan(f"{scale}-{version.family}-{layout}", (Stage(args.size),), version, layout)
                results.append(train(args, plan, task))
                rows.append(row(results[-1], task, size=scale, version=version.family, layout=layout))
    log_comparison(args, task, rows, {"ratios": ratios, "cost": [cost(result) for result in results]}, {})
    return results


def log_step_times(args: argparse.Namespace, task: Task, scale: str) -> list[Row]:
    """One run that times steps of the four networks of a size in turn; a row for each layout."""
    seed_everything(args.seed)
    contenders = {(version.family, layout): _stepper(args, task, version, layout) for layout in LAYOUTS for version in SCALES[scale]}
    with trackbridge.init(
        project=args.project,
        name=f"{scale}-steps-seed{args.seed}",
        group=group(args),
        tags=["efficientnet", args.study, "steps"],
        config={"study": args.study, "scale": scale, "seed": args.seed, "batch_size": args.batch_size, "image_size": args.size},
    ):
        times = take_turns(contenders, args.rounds)
        for step in range(args.rounds):
            trackbridge.log({f"time/{version} {layout}_ms": seconds[step] * 1e3 for (version, layout), seconds in times.items()}, step=step)
    rows: list[Row] = []
    for layout in LAYOUTS:
        v1, v2 = times["v1", layout], times["v2", layout]
        ratios = [first / second for first, second in zip(v1, v2, strict=True)]
        low, high = median_interval(ratios)
        milliseconds = {f"{version} step (ms)": 1e3 * median(seconds) for version, seconds in (("v1", v1), ("v2", v2))}
        rows.append({"size": scale, "layout": layout, **milliseconds, "v1 / v2": median(ratios), "low": low, "high": high})
    return rows


def _stepper(args: argparse.Namespace, task: Task, architecture: Architecture, layout: str) -> Callable[[], object]:
    """Trains a network on one and the same batch."""
    images = task.dataset.train.take(np.arange(min(args.batch_size, len(task.dataset.train.labels))))
    inputs = network_input(images.pixels, args.size, layout)
    model = architecture.build(len(task.dataset.classes), layout)
    optimizer = OPTIMIZERS[args.optimizer](model.parameters(), args.lr, 0.0)
    targets = [(torch.from_numpy(images.labels), 1.0)]
    return lambda: train_step(model, optimizer, inputs, targets)


def take_turns(contenders: Mapping[Contender, Callable[[], object]], rounds: int) -> dict[Contender, list[float]]:
    """Processor seconds of each call; all are called once in a round, and each round another one goes first."""
    names = list(contenders)
    seconds: dict[Contender, list[float]] = {name: [] for name in names}
    for number in range(WARM_UP + rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            with cpu_time(seconds[name]):
                contenders[name]()
    return {name: times[WARM_UP:] for name, times in seconds.items()}


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Order statistics that hold the median, whatever the distribution; all of the samples if none are so sure."""
    return interval(samples, confidence) or (min(samples), max(samples))
