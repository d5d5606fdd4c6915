"""Progressive learning (arXiv 2104.00298, section 4): image size and regularisation rise together in four stages.

It is compared at equal epochs and equal augmentation with images of the final size throughout, and with smaller
images throughout that cost as many multiply-adds as it does; and with the strongest regularisation throughout.
"""

import argparse
from dataclasses import replace

from trackbridge_examples.efficientnet.augment import Stage
from trackbridge_examples.efficientnet.comparison import cost, log_comparison, row
from trackbridge_examples.efficientnet.network import Architecture, counts
from trackbridge_examples.efficientnet.run import Finished, Plan, Result
from trackbridge_examples.efficientnet.tasks import Task

STAGES = 4
WEAKEST, STRONGEST = Stage(dropout=0.0, magnitude=5, mixup=0.0), Stage(dropout=0.2, magnitude=10, mixup=0.2)
ARCHITECTURE = Architecture()


def rising(size: int) -> tuple[Stage, ...]:
    """The paper's stages: sizes that rise from half by equal steps to ``size``, and everything else from weakest to strongest."""
    stages = []
    for number in range(STAGES):
        share = number / (STAGES - 1)
        dropout, magnitude, mixup = (
            low + share * (high - low)
            for low, high in (
                (WEAKEST.dropout, STRONGEST.dropout),
                (WEAKEST.magnitude, STRONGEST.magnitude),
                (WEAKEST.mixup, STRONGEST.mixup),
            )
        )
        pixels = int(size / 2 + size / 2 * (number + 1) / STAGES)
        stages.append(Stage(pixels, dropout, round(magnitude), mixup))
    return tuple(stages)


def multiply_adds(stages: tuple[Stage, ...], classes: int) -> float:
    """For an image, averaged over the stages."""
    return sum(counts(ARCHITECTURE, classes, stage.size)[1] for stage in stages) / len(stages)


def of_size(stages: tuple[Stage, ...], size: int) -> tuple[Stage, ...]:
    """The stages with images of one size."""
    return tuple(replace(stage, size=size) for stage in stages)


def equally_costly_size(stages: tuple[Stage, ...], classes: int) -> int:
    """The one size whose multiply-adds are nearest to the stages'."""
    target = multiply_adds(stages, classes)
    sizes = range(stages[0].size, stages[-1].size + 1)
    return min(sizes, key=lambda size: abs(counts(ARCHITECTURE, classes, size)[1] - target))


def progressive(args: argparse.Namespace, task: Task, finished: Finished) -> list[Result]:
    """Trains progressively and in the ways it is compared with."""
    classes = len(task.dataset.classes)
    stages = rising(args.size)
    smaller = equally_costly_size(stages, classes)
    plans = {
        "progressive": stages,
        f"fixed-{args.size}": of_size(stages, args.size),
        f"fixed-{smaller}": of_size(stages, smaller),
        f"fixed-{args.size}-strongest": (replace(STRONGEST, size=args.size),) * STAGES,
    }
    results = [finished.result(args, Plan(name, plan, ARCHITECTURE), task) for name, plan in plans.items()]
    rows = [
        row(
            result,
            task,
            pixels=", ".join(str(stage.size) for stage in plan),
            dropout=", ".join(f"{stage.dropout:.2g}" for stage in plan),
            magnitude=", ".join(str(stage.magnitude) for stage in plan),
            mixup=", ".join(f"{stage.mixup:.2g}" for stage in plan),
        )
        | {"multiply-adds in training (M)": multiply_adds(plan, classes) / 1e6}
        for result, plan in zip(results, plans.values(), strict=True)
    ]
    log_comparison(args, task, rows, {"cost": [cost(result) for result in results]}, {})
    return results
