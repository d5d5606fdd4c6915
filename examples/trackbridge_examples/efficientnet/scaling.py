"""Scaling one EfficientNet by its depth, its width, its images' resolution, or all three at once (arXiv 1905.11946).

Every way of scaling gets so many times the multiply-adds of the base, as nearly as whole blocks, channels in eights
and whole pixels allow.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from trackbridge_examples.efficientnet.augment import Stage
from trackbridge_examples.efficientnet.comparison import cost, log_comparison, row
from trackbridge_examples.efficientnet.network import Architecture, counts
from trackbridge_examples.efficientnet.papers import Scaling, compound
from trackbridge_examples.efficientnet.run import Finished, Plan, Result
from trackbridge_examples.efficientnet.tasks import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE = Architecture("v1", width=0.35, depth=0.5)
WAYS = {  # what is scaled for about twice the multiply-adds
    "depth": Scaling(2, 1, 1),
    "width": Scaling(1, sqrt(2), 1),
    "resolution": Scaling(1, 1, sqrt(2)),
    "compound": compound(1),
}
STEPS_OF_PHI = 32  # in which phi is searched


@dataclass(frozen=True)
class Scaled:
    """The base, scaled."""

    architecture: Architecture
    size: int

    def multiply_adds(self, classes: int) -> int:
        return counts(self.architecture, classes, self.size)[1]


def scale(way: Scaling, phi: float, size: int) -> Scaled:
    """The base, which sees images of ``size`` pixels, scaled by ``way`` to the power of ``phi``."""
    depth, width, resolution = (times**phi for times in way)
    return Scaled(Architecture(BASE.family, BASE.width * width, BASE.depth * depth), round(size * resolution))


def scale_to(way: Scaling, times: float, size: int, classes: int) -> Scaled:
    """The base, scaled so that its multiply-adds are nearest to so many ``times``, at least 1, the base's."""
    target = times * scale(way, 0, size).multiply_adds(classes)

    def at(step: int) -> Scaled:
        return scale(way, step / STEPS_OF_PHI, size)

    low, high = 0, STEPS_OF_PHI
    while at(high).multiply_adds(classes) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle).multiply_adds(classes) >= target else (middle, high)
    return min(at(low), at(high), key=lambda scaled: abs(scaled.multiply_adds(classes) - target))


def scaling(args: argparse.Namespace, task: Task, finished: Finished) -> list[Result]:
    """Trains the base and each way of scaling it, and plots accuracy over multiply-adds."""
    size, classes = args.size, len(task.dataset.classes)
    chosen = {"base": scale(WAYS["compound"], 0, size)}
    chosen |= {f"{way}-x{times:g}": scale_to(WAYS[way], times, size, classes) for times in args.times for way in WAYS}
    results = [finished.result(args, Plan(name, (Stage(scaled.size),), scaled.architecture), task) for name, scaled in chosen.items()]
    base = results[0].multiply_adds
    rows = [
        row(
            result,
            task,
            depth=scaled.architecture.depth / BASE.depth,
            width=scaled.architecture.width / BASE.width,
            pixels=scaled.size,
            times=result.multiply_adds / base,
        )
        for result, scaled in zip(results, chosen.values(), strict=True)
    ]
    figures = {} if task.dataset.note else {"accuracy": plot(results, task.dataset.name)}
    log_comparison(args, task, rows, {"cost": [cost(result) for result in results]}, figures)
    return results


def plot(results: Sequence[Result], dataset: str) -> "Figure":
    """Test accuracy over multiply-adds, a line from the base for each way of scaling it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="multiply-adds for an image (M)", ylabel=f"test accuracy on {dataset} (%)")
    for way, marker in zip(WAYS, "sD^o", strict=True):
        line = [results[0], *(result for result in results if result.name.startswith(way))]
        axes.plot([result.multiply_adds / 1e6 for result in line], [result.accuracy for result in line], marker=marker, label=way)
    axes.legend()
    return figure
