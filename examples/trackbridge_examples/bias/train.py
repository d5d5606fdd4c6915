"""Trains a network on biased images, plainly (StdM) or with a mitigation method, and measures what it leans on.

    python -m trackbridge_examples.bias --method all               # StdM, then group DRO with its improvement (IOSM)
    python -m trackbridge_examples.bias --method paper             # StdM and the seven methods of the paper
    python -m trackbridge_examples.bias --condition seven          # the paper's condition: seven biases, p = 0.7
    python -m trackbridge_examples.bias --contact-sheet sheet.png  # what the seven factors look like
    python -m trackbridge_examples.bias --dataset celeba --root DIR

Condition "one" is this project's own: one factor, the distractors' colour, biased at p = 0.9, and a method is told of
it.  Condition "seven" is the paper's (arXiv 2104.00170): all factors at p = 0.7, a method is told of the distractors'
shape.  Data, network and schedule are small in both, so their figures compare with each other and not with the
paper's.
"""

import argparse
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import trackbridge
from trackbridge_examples.bias.celeba import celeba_problem
from trackbridge_examples.bias.checkpoint import Checkpoint, Progress
from trackbridge_examples.bias.contact_sheet import write_contact_sheet
from trackbridge_examples.bias.factors import UNBIASED
from trackbridge_examples.bias.groups import balanced_batches, environment_batches, group_by
from trackbridge_examples.bias.methods import METHODS, Batch, Hyper, MethodEntry, Training, outputs_of
from trackbridge_examples.bias.metrics import (
    FactorAccuracy,
    as_scalars,
    factor_accuracies,
    mmd_error,
    unbiased_accuracy,
)
from trackbridge_examples.bias.mnist import biased_mnist_problem
from trackbridge_examples.bias.network import network_input
from trackbridge_examples.bias.options import parse, settings_of
from trackbridge_examples.bias.problem import Problem, Split
from trackbridge_examples.bias.views import factor_table, group_table, heat_map, prediction_table, sample_sheet
from trackbridge_examples.data import DatasetUnavailable
from trackbridge_examples.training import (
    accuracy,
    confusion_table,
    evaluate,
    gradient_norm,
    histograms,
    log_checkpoint,
    log_results,
    seed_everything,
    shuffled_batches,
    steps_in_all,
)

# Options that do not change what is trained, or in another form.
NOT_SETTINGS = ("project", "group", "contact_sheet", "root", "set", "preset", "log_level", "checkpoints", "preempt_at")
PROBLEMS = {"biased-mnist": biased_mnist_problem, "celeba": celeba_problem}
ENVIRONMENTS = 16  # in a batch, at most
LOGGED_GROUPS = 1000  # at most: with more, what a method keeps for each group is not logged


@dataclass(frozen=True)
class Result:
    """How a trained model does on unbiased images, in percent: those of the test, and two that settings are selected by."""

    method: str
    accuracy: float
    factors: dict[str, FactorAccuracy]
    validation: float  # on images biased like the training set's
    oracle: float  # on unbiased images
    cpu_seconds: float  # of training, testing and logging


def train(args: argparse.Namespace, method_name: str, problem: Problem, standard: Result | None = None) -> Result:
    """One run of a method; given the ``standard`` model's result, it also logs the improvement over that."""
    seed_everything(args.seed)
    hyper, entry, train_set, test_set = settings_of(args, method_name), METHODS[method_name], problem.train, problem.test
    settings = run_settings(args, method_name)
    network = problem.make_network()
    training = describe(problem, args.explicit, network)
    method = entry.make(training, **{name: hyper[name] for name in entry.hyper})
    optimizer, schedule = make_optimizer(args, method_name, hyper, nn.ModuleList([network, method]), len(train_set))
    per_group = len(training.groups.names) <= LOGGED_GROUPS
    variants = "".join(f"-{option}{number}" for option, number in (("fold", args.fold), ("trial", args.trial)) if number)
    name = f"{method_name}-{args.condition}-seed{args.seed}{variants}"
    parts = {"network": network, "method": method, "optimizer": optimizer, "schedule": schedule}
    checkpoint = Checkpoint(args.checkpoints and args.checkpoints / f"{name}.pt", settings, parts)
    begun = checkpoint.load()

    started = time.process_time()
    with trackbridge.init(
        project=args.project,
        name=name,
        id=begun.run_id,
        resume="must" if begun.run_id else None,
        notes=describe_run(args, entry),
        group=args.group or f"bias-{args.condition}-seed{args.seed}",
        tags=["bias", method_name, args.condition],
        config={
            **settings,
            "preset": args.preset,
            "log_level": args.log_level,
            "told": entry.told,
            "dataset": problem.name,
            "train_images": len(train_set),
            "validation_images": len(problem.validation),
            "test_images": len(test_set),
            "groups": len(training.groups.names),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "loss": entry.description,
            "iosm_over": standard.method if standard else None,
        },
    ) as run:
        for metrics in ("test/*", "validation/*", "oracle/*", "accuracy/*", "mmd/*", "iosm/*"):
            run.define_metric(metrics, step="epoch")
        step = begun.step
        if begun.run_id:
            run.rewind(step + 1)
        elif args.log_level != "light":
            sheets = {"samples/train": train_set, "samples/test": test_set}
            trackbridge.log({name: sample_sheet(split) for name, split in sheets.items()}, step=0)

        for epoch in range(begun.epoch + 1, args.epochs + 1):
            network.train()
            for index in make_batches(entry.batches, training, args.batch_size, np.random.default_rng([args.seed, epoch])):
                step += 1
                step_started = time.perf_counter()
                batch = make_batch(train_set, training, index)
                outputs = outputs_of(network, batch.inputs)
                scalars: dict[str, float] = {}
                for loss in method.passes(network, outputs, batch):
                    optimizer.zero_grad()
                    loss.backward()
                    scalars = scalars or {"train/loss": loss.item(), "train/grad_norm": gradient_norm(network)}
                    optimizer.step()
                scalars["train/accuracy"] = accuracy(outputs.logits.detach().argmax(1).numpy() == train_set.labels[index])
                scalars["train/lr"] = schedule.get_last_lr()[0]
                scalars |= {f"train/{name}": value for name, value in method.terms.items()}
                schedule.step()
                if per_group and args.log_level == "heavy":
                    scalars |= method.group_values()
                scalars["time/step_ms"] = 1e3 * (time.perf_counter() - step_started)
                trackbridge.log(scalars, step=step)
                if step == args.preempt_at and not begun.run_id:
                    os.kill(os.getpid(), signal.SIGKILL)

            predictions, test_losses = evaluate(network, test_set.pixels, test_set.labels, network_input)
            correct = predictions == test_set.labels
            factors = factor_accuracies(correct, test_set.majority, problem.factors)
            summary = {
                "test/accuracy": unbiased_accuracy(correct, test_set.groups),
                **selection_accuracies(network, problem),
                **as_scalars(factors, standard.factors if standard else None),
            }
            values: dict[str, object] = {"epoch": epoch, "test/loss": float(test_losses.mean()), **summary}
            if args.log_level != "light":
                values |= histograms(network, gradients=args.log_level == "heavy")
                values |= method.group_values() if per_group else {}
            trackbridge.log(values, step=step)
            mmds = ", ".join(f"MMD by {factor} {factors[factor].mmd:.1f}" for factor in args.explicit)
            if epoch < args.epochs:
                checkpoint.save(Progress(run.id, epoch, step))
            print(f"{method_name} epoch {epoch}: {summary['test/accuracy']:.1f} %, {mmds}")

        errors = zip(problem.factors, test_set.majority.T, strict=True)
        summary |= {f"mmd_error/{factor}": mmd_error(correct, side, test_set.clusters) for factor, side in errors}
        log_results(run, summary, step)
        if args.log_level != "light":
            shown = len(correct) if args.log_level == "heavy" else 100
            trackbridge.log(
                {
                    "factors": factor_table(factors, args),
                    "groups": group_table(problem, correct),
                    **{f"heat/{factor}": heat_map(problem, correct, factor) for factor in args.explicit},
                    "confusion": confusion_table(test_set.labels, predictions, problem.classes),
                    "predictions": prediction_table(problem, predictions, test_losses, shown),
                },
                step=step,
            )
            log_checkpoint(network)
        seconds = time.process_time() - started
        run.summary["time/cpu_s"] = seconds
    checkpoint.remove()
    return Result(method_name, summary["test/accuracy"], factors, summary["validation/accuracy"], summary["oracle/accuracy"], seconds)


def run_settings(args: argparse.Namespace, method: str) -> dict[str, object]:
    """All that decides what a run of the method is, as its configuration holds it."""
    hyper = {name: list(value) if isinstance(value, tuple) else value for name, value in settings_of(args, method).items()}
    return {**{name: value for name, value in vars(args).items() if name not in NOT_SETTINGS}, **hyper, "method": method}


def describe_run(args: argparse.Namespace, entry: MethodEntry) -> str:
    """The run's notes."""
    biased = ", ".join(f"{factor} at p = {p:g}" for factor, p in args.p.items() if p != UNBIASED) or "nothing"
    told = ", ".join(args.explicit) if entry.told else "nothing"
    return f"{entry.description}. Biased on purpose: {biased}. The method is told of: {told}."


def describe(problem: Problem, explicit: Sequence[str], network: nn.Sequential) -> Training:
    """What a method that is told of the explicit factors may know of the training set."""
    train_set = problem.train
    values = train_set.values[:, [problem.factors.index(factor) for factor in explicit]]
    groups, biases = group_by(values, train_set.labels), group_by(values)
    return Training(
        labels=torch.from_numpy(train_set.labels),
        groups=groups,
        biases=biases,
        environments=groups if problem.environments_have_labels else biases,
        classes=len(problem.classes),
        features=network[-1].in_features,
        make_network=problem.make_network,
    )


def make_optimizer(
    args: argparse.Namespace, method: str, hyper: dict[str, Hyper], modules: nn.Module, images: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam with a one-cycle schedule for Biased MNIST; a constant rate for CelebA, where all but LFF have SGD, as in the paper."""
    adam = args.dataset == "biased-mnist" or method == "lff"
    kind = torch.optim.Adam if adam else torch.optim.SGD
    optimizer = kind(modules.parameters(), lr=hyper["lr"], weight_decay=hyper["weight_decay"])
    if args.dataset == "celeba":
        return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    steps = steps_in_all(images, args.batch_size, args.epochs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, hyper["lr"], total_steps=steps, pct_start=0.3, cycle_momentum=False)
    return optimizer, schedule


def make_batches(kind: str, training: Training, size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The batches of one epoch, drawn as the method wants them."""
    if kind == "balanced":
        return balanced_batches(training.groups.index, size, rng)
    if kind == "environments":
        return environment_batches(training.environments.index, size, ENVIRONMENTS, rng)
    return shuffled_batches(len(training.labels), size, rng)


def make_batch(train_set: Split, training: Training, index: NDArray[np.int64]) -> Batch:
    groups, biases, environments = (
        torch.from_numpy(part.index[index]) for part in (training.groups, training.biases, training.environments)
    )
    picked = torch.from_numpy(index)
    return Batch(network_input(train_set.pixels[index]), training.labels[picked], picked, groups, biases, environments)


def selection_accuracies(network: nn.Module, problem: Problem) -> dict[str, float]:
    """What settings are selected by: plain accuracy on biased validation images, and unbiased accuracy."""
    accuracies: dict[str, float] = {}
    for name, split, groups in (("validation", problem.validation, None), ("oracle", problem.oracle, problem.oracle.groups)):
        predictions, _ = evaluate(network, split.pixels, split.labels, network_input)
        accuracies[f"{name}/accuracy"] = unbiased_accuracy(predictions == split.labels, groups)
    return accuracies


def main(argv: Sequence[str] | None = None) -> list[Result]:
    """The results of the runs that the command line asks for, one for each method, on the same data."""
    args = parse(argv, __doc__)
    if args.contact_sheet:
        write_contact_sheet(args.contact_sheet, args.seed)
        return []
    results: list[Result] = []
    try:
        problem = PROBLEMS[args.dataset](args)
        for method in args.method:
            standard = next((result for result in results if result.method == "stdm"), None)
            results.append(train(args, method, problem, standard))
    except DatasetUnavailable as reason:
        raise SystemExit(str(reason)) from None
    return results
