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
from trackbridge_examples.efficientnet.run import Finished, Plan, Result, cpu_time, group, train_step
from trackbridge_examples.efficientnet.tasks import Task
from trackbridge_examples.intervals import interval
from trackbridge_examples.optimizers import OPTIMIZERS
from trackbridge_examples.training import seed_everything

SCALES = {  # equally deep; the second is so wide that the parameters for ten classes differ by less than 2 %
    "small": (Architecture("v1", 0.35, 0.5), Architecture("v2", 0.32, 0.5)),
    "half": (Architecture("v1", 0.5, 0.6), Architecture("v2", 0.47, 0.6)),
    "full": (Architecture("v1"), Architecture("v2", 0.82)),
}
STEPS = "steps"  # the tag of the run that times them
FIGURES = ("v1 step (ms)", "v2 step (ms)", "v1 / v2", "low", "high")  # medians, and an interval of the last one
WARM_UP = 2  # rounds that are not counted
Contender = tuple[str, str]  # version and layout


def versions(args: argparse.Namespace, task: Task, finished: Finished) -> list[Result]:
    """Times and trains both versions in both layouts at each of ``args.scales``."""
    results: list[Result] = []
    rows: list[Row] = []
    ratios: list[Row] = []
    for scale in args.scales:
        ratios += step_times(args, task, scale, finished)
        for version in SCALES[scale]:
            for layout in LAYOUTS:
                plan = Plan(f"{scale}-{version.family}-{layout}", (Stage(args.size),), version, layout)
                results.append(finished.result(args, plan, task))
                rows.append(row(results[-1], task, size=scale, version=version.family, layout=layout))
    log_comparison(args, task, rows, {"ratios": ratios, "cost": [cost(result) for result in results]}, {})
    return results


def step_times(args: argparse.Namespace, task: Task, scale: str, finished: Finished) -> list[Row]:
    """A row for each layout: what a step of either version costs, from the run that has it, which is made where it is missing."""
    settings = {
        "steps": scale,
        **{name: getattr(args, name) for name in ("study", "seed", "optimizer", "batch_size", "rounds")},
        "image_size": args.size,
        "dataset": task.dataset.name,
    }
    run = finished.find(settings)
    if run is None:
        summary = log_step_times(args, task, scale, settings)
    else:
        summary = {metric_of(layout, figure): run.number(metric_of(layout, figure)) for layout in LAYOUTS for figure in FIGURES}
    return [{"size": scale, "layout": layout, **{figure: summary[metric_of(layout, figure)] for figure in FIGURES}} for layout in LAYOUTS]


def metric_of(layout: str, figure: str) -> str:
    """Under which name the run that times steps has one of ``FIGURES``."""
    return f"time/steps/{layout}/{figure}"


def log_step_times(args: argparse.Namespace, task: Task, scale: str, settings: Mapping[str, object]) -> dict[str, float]:
    """One run that times steps of the four networks of a size in turn; the figures that it comes to."""
    seed_everything(args.seed)
    contenders = {(version.family, layout): _stepper(args, task, version, layout) for layout in LAYOUTS for version in SCALES[scale]}
    with trackbridge.init(
        project=args.project,
        name=f"{scale}-steps-seed{args.seed}",
        group=group(args),
        tags=["efficientnet", args.study, STEPS],
        config=dict(settings),
    ) as run:
        times = take_turns(contenders, args.rounds)
        for step in range(args.rounds):
            trackbridge.log({f"time/{version} {layout}_ms": seconds[step] * 1e3 for (version, layout), seconds in times.items()}, step=step)
        summary: dict[str, float] = {}
        for layout in LAYOUTS:
            v1, v2 = times["v1", layout], times["v2", layout]
            ratios = [first / second for first, second in zip(v1, v2, strict=True)]
            figures = (1e3 * median(v1), 1e3 * median(v2), median(ratios), *median_interval(ratios))
            summary |= {metric_of(layout, figure): value for figure, value in zip(FIGURES, figures, strict=True)}
        for metric, value in summary.items():
            run.summary[metric] = value
    return summary


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
