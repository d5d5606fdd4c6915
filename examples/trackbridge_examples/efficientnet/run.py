"""One training, logged as a run; those of a study that have finished are not repeated."""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import trackbridge
from trackbridge_examples.data import Images
from trackbridge_examples.efficientnet.augment import Stage, Targets, mirror, mixup, network_input, rand_augment, with_channels
from trackbridge_examples.efficientnet.network import Architecture, counts
from trackbridge_examples.efficientnet.tasks import Task
from trackbridge_examples.optimizers import OPTIMIZERS
from trackbridge_examples.readback import RunFacts, read_back
from trackbridge_examples.training import (
    accuracy,
    confusion_table,
    evaluate,
    gradient_norm,
    histograms,
    image_grid,
    log_checkpoint,
    log_results,
    seed_everything,
    shuffled_batches,
    steps_in_all,
)

NOT_SETTINGS = (
    "project",
    "group",
    "table",
    "study",
    "root",
    "size",
    "times",
    "scales",
    "rounds",
    "source",
)  # options that do not change one training
NOT_WHAT_IS_TRAINED = ("preset", "log_level")  # settings that do not change it either
SMALL_NETWORK = Architecture()


TIMES = {  # what a result holds of them, and under which name a run has it
    "step_cpu_ms": "time/step_cpu_ms",
    "train_cpu_seconds": "time/train_cpu_s",
    "augment_cpu_seconds": "time/augment_cpu_s",
    "cpu_seconds": "time/cpu_s",
}


@dataclass(frozen=True)
class Plan:
    """What is trained, and in which stages, each of which takes as many steps."""

    name: str
    stages: tuple[Stage, ...]
    architecture: Architecture = SMALL_NETWORK
    layout: str = "channels-last"

    def stage(self, step: int, steps: int) -> Stage:
        """The stage of a step, the first of which is 0, of so many."""
        return self.stages[step * len(self.stages) // steps]


@dataclass(frozen=True)
class Result:
    """How a trained model does on the test images, in percent, and what it cost."""

    name: str
    optimizer: str
    accuracy: float
    classes: dict[str, float]
    parameters: int
    multiply_adds: int  # for a test image
    step_cpu_ms: float  # the median over training: forward, backward, update
    train_cpu_seconds: float  # of all steps
    augment_cpu_seconds: float  # of mirroring, RandAugment and mixup, which no step counts
    cpu_seconds: float  # of training, testing and logging


class Finished:
    """The runs of a study's project that have finished, as they are read back: found by what was trained."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.runs = {_key(run.config): run for run in read_back(args.source, args.project) if run.finished}

    def find(self, settings: Mapping[str, Any]) -> RunFacts | None:
        """The run of these settings."""
        return self.runs.get(_key(settings))

    def result(self, args: argparse.Namespace, plan: Plan, task: Task) -> Result:
        """What the plan came to: as it is read back, or after a training where that has not finished yet."""
        run = self.find(settings_of(args, plan, task))
        if run is None:
            return train(args, plan, task)
        print(f"{plan.name}: not repeated, run {run.id} has finished")
        return Result(
            name=plan.name,
            optimizer=args.optimizer,
            accuracy=run.number("test/accuracy"),
            classes={name: run.number(f"class_accuracy/{name}") for name in task.dataset.classes},
            parameters=run.config["parameters"],
            multiply_adds=run.config["multiply_adds"],
            **{field: run.number(metric) for field, metric in TIMES.items()},
        )


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in settings.items() if name not in NOT_WHAT_IS_TRAINED}, sort_keys=True)


def settings_of(args: argparse.Namespace, plan: Plan, task: Task) -> dict[str, Any]:
    """All that decides what a training is, and what its network costs, as the configuration of its run holds it."""
    dataset, size = task.dataset, plan.stages[-1].size
    parameters, multiply_adds = counts(plan.architecture, len(dataset.classes), size)
    return {
        **{name: value for name, value in vars(args).items() if name not in NOT_SETTINGS},
        "training": plan.name,
        "dataset": dataset.name,
        "dataset_note": dataset.note,
        "train_images": len(dataset.train.labels),
        "test_images": len(dataset.test.labels),
        "model": str(plan.architecture),
        "layout": plan.layout,
        "stages": [asdict(stage) for stage in plan.stages],
        "image_size": size,
        "mirrored": task.mirrored,
        "parameters": parameters,
        "multiply_adds": multiply_adds,
    }


def train(args: argparse.Namespace, plan: Plan, task: Task) -> Result:
    """Trains the plan's network with ``args.optimizer`` and logs it as one run; tests at the size of the last stage."""
    dataset, size, settings = task.dataset, plan.stages[-1].size, settings_of(args, plan, task)
    seed_everything(args.seed)
    model = plan.architecture.build(len(dataset.classes), plan.layout)
    optimizer = OPTIMIZERS[args.optimizer](model.parameters(), args.lr, 0.0)
    steps = steps_in_all(len(dataset.train.labels), args.batch_size, args.epochs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.2, cycle_momentum=False)

    started = time.process_time()
    with trackbridge.init(
        project=args.project,
        name=f"{plan.name}-seed{args.seed}",
        group=group(args),
        tags=["efficientnet", args.optimizer, *([args.study] if args.study else [])],
        config=settings,
    ) as run:
        for metrics in ("test/*", "class_accuracy/*"):
            run.define_metric(metrics, step="epoch")
        if args.log_level != "light":
            trackbridge.log({"samples": trackbridge.Image(image_grid(with_channels(dataset.train.pixels[:80]), columns=10))}, step=0)

        step = 0
        rng = np.random.default_rng(args.seed)
        step_cpu: list[float] = []
        augment_cpu: list[float] = []
        for epoch in range(1, args.epochs + 1):
            model.train()
            for batch in shuffled_batches(len(dataset.train.labels), args.batch_size, rng):
                step_started = time.perf_counter()
                stage = plan.stage(step, steps)
                model.drop_rate = stage.dropout
                step += 1
                pixels, labels = dataset.train.take(batch)
                with cpu_time(augment_cpu):
                    pixels = rand_augment(mirror(pixels, rng) if task.mirrored else pixels, stage.magnitude)
                inputs = network_input(pixels, stage.size, plan.layout)
                with cpu_time(augment_cpu):
                    inputs, targets = mixup(inputs, torch.from_numpy(labels), stage.mixup, rng)
                with cpu_time(step_cpu):
                    logits, loss = train_step(model, optimizer, inputs, targets)
                scalars = {
                    "train/loss": loss.item(),
                    "train/accuracy": accuracy(logits.argmax(1).numpy() == labels),
                    "train/grad_norm": gradient_norm(model),
                    "train/lr": schedule.get_last_lr()[0],
                }
                if len(plan.stages) > 1:
                    scalars |= {f"stage/{name}": value for name, value in asdict(stage).items()}
                schedule.step()
                scalars["time/step_ms"] = 1e3 * (time.perf_counter() - step_started)
                trackbridge.log(scalars, step=step)

            predictions, losses = evaluate(model, *dataset.test, lambda images: network_input(images, size, plan.layout))
            correct = predictions == dataset.test.labels
            classes = {name: accuracy(correct[dataset.test.labels == index]) for index, name in enumerate(dataset.classes)}
            summary = {"test/accuracy": accuracy(correct), "test/loss": float(losses.mean())}
            summary |= {f"class_accuracy/{name}": value for name, value in classes.items()}
            values: dict[str, object] = {"epoch": epoch, **summary}
            if args.log_level != "light":
                values |= histograms(model, gradients=args.log_level == "heavy")
            trackbridge.log(values, step=step)
            print(f"{plan.name} epoch {epoch}: accuracy {summary['test/accuracy']:.1f} % on {dataset.name}")

        summary |= {f"baseline/{name}": value for name, value in task.baselines.items()}
        log_results(run, summary, step)
        if args.log_level != "light":
            shown = len(correct) if args.log_level == "heavy" else 100
            trackbridge.log(
                {
                    "confusion": confusion_table(dataset.test.labels, predictions, dataset.classes),
                    "predictions": prediction_table(dataset.test, predictions, losses, dataset.classes, shown),
                    "mistakes": trackbridge.Image(mistakes_sheet(dataset.test, predictions)),
                },
                step=step,
            )
            log_checkpoint(model)
        result = Result(
            name=plan.name,
            optimizer=args.optimizer,
            accuracy=summary["test/accuracy"],
            classes=classes,
            parameters=settings["parameters"],
            multiply_adds=settings["multiply_adds"],
            step_cpu_ms=1e3 * median(step_cpu),
            train_cpu_seconds=sum(step_cpu),
            augment_cpu_seconds=sum(augment_cpu),
            cpu_seconds=time.process_time() - started,
        )
        for field, metric in TIMES.items():
            run.summary[metric] = getattr(result, field)
    return result


def group(args: argparse.Namespace) -> str:
    """The group of a run: with the others of its study and seed."""
    return str(args.group or "-".join(["efficientnet", *([args.study] if args.study else []), f"seed{args.seed}"]))


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Forward, backward and update; the logits ``[b, classes]`` and the loss before it."""
    logits = model(inputs)
    loss = torch.stack([share * nn.functional.cross_entropy(logits, labels) for labels, share in targets]).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return logits.detach(), loss.detach()


@contextmanager
def cpu_time(seconds: list[float]) -> Iterator[None]:
    """Appends the processor time that the block took."""
    started = time.process_time()
    yield
    seconds.append(time.process_time() - started)


def mistakes_sheet(images: Images, predictions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Up to forty test images that the model gets wrong."""
    wrong = np.flatnonzero(predictions != images.labels)[:40]
    return image_grid(with_channels(images.pixels[wrong]), columns=10)


def prediction_table(
    images: Images, predictions: NDArray[np.int64], losses: NDArray[np.float32], classes: Sequence[str], count: int
) -> trackbridge.Table:
    """The first ``count`` test images: the true class, the predicted one, the loss."""
    columns = zip(images.labels.tolist(), predictions.tolist(), losses.tolist(), strict=True)
    rows: list[list[object]] = [
        [index, classes[label], classes[prediction], loss] for index, (label, prediction, loss) in enumerate(columns)
    ]
    return trackbridge.Table(columns=["index", "label", "prediction", "loss"], rows=rows[:count])
