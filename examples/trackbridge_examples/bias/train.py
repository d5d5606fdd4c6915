"""Trains a small network on Biased MNIST, plainly (StdM) or with group DRO, and measures what it leans on.

    python -m trackbridge_examples.bias --method all               # StdM, then group DRO with its improvement (IOSM)
    python -m trackbridge_examples.bias --condition seven          # the paper's condition: seven biases, p = 0.7
    python -m trackbridge_examples.bias --contact-sheet sheet.png  # what the seven factors look like

Condition "one" is this project's own: one factor, the distractors' colour, biased at p = 0.9, and a method is told of
it.  Condition "seven" is the paper's (arXiv 2104.00170): all factors at p = 0.7, a method is told of the distractors'
shape.  Data, network and schedule are small in both, so their figures compare with each other and not with the
paper's.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import trackbridge
from trackbridge_examples.bias.contact_sheet import write_contact_sheet
from trackbridge_examples.bias.factors import FACTORS, UNBIASED
from trackbridge_examples.bias.generate import BiasedImages, biased_mnist
from trackbridge_examples.bias.groups import GROUPS, balanced_batches, group_name, value_label_groups
from trackbridge_examples.bias.methods import METHODS, GroupDRO, mean_loss
from trackbridge_examples.bias.metrics import FactorAccuracy, as_scalars, factor_accuracies
from trackbridge_examples.bias.network import make_network, network_input
from trackbridge_examples.bias.options import parse
from trackbridge_examples.data import DIGIT_CLASSES, digits
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
)

NOT_SETTINGS = ("project", "group", "contact_sheet")  # options that do not change what is trained


@dataclass(frozen=True)
class Result:
    """How a trained model does on the unbiased test set, in percent."""

    method: str
    accuracy: float
    factors: dict[str, FactorAccuracy]
    cpu_seconds: float  # of training, testing and logging


def train(args: argparse.Namespace, standard: Result | None = None) -> Result:
    """One run of ``args.method``; given the ``standard`` model's result, it also logs the improvement over that."""
    seed_everything(args.seed)
    dataset, train_set, test_set = make_data(args)
    groups = value_label_groups(train_set.values[:, FACTORS.index(args.explicit)], train_set.labels)
    method = METHODS[args.method]
    dro = GroupDRO(np.bincount(groups, minlength=GROUPS), args.eta, method.normalise) if method.group_dro else None
    loss_of: Callable[[Tensor, Tensor], Tensor] = dro or mean_loss

    model = make_network(args.width)
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=args.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        args.lr,
        total_steps=args.epochs * (len(groups) // args.batch_size),
        pct_start=0.3,
        cycle_momentum=False,
    )

    started = time.process_time()
    with trackbridge.init(
        project=args.project,
        name=f"{args.method}-{args.condition}-seed{args.seed}",
        group=args.group or f"bias-{args.condition}-seed{args.seed}",
        tags=["bias", args.method, args.condition],
        config={
            **{name: value for name, value in vars(args).items() if name not in NOT_SETTINGS},
            "dataset": dataset,
            "train_images": len(train_set.labels),
            "test_images": len(test_set.labels),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "loss": method.description,
            "iosm_over": standard.method if standard else None,
        },
    ) as run:
        for metrics in ("test/*", "accuracy/*", "mmd/*", "iosm/*"):
            run.define_metric(metrics, step="epoch")
        if args.log_level != "light":
            sheets = {"samples/train": train_set, "samples/test": test_set}
            trackbridge.log({name: sample_sheet(images) for name, images in sheets.items()}, step=0)

        step = 0
        batch_rng = np.random.default_rng(args.seed)
        for epoch in range(1, args.epochs + 1):
            model.train()
            if method.balanced:
                batches = balanced_batches(groups, args.batch_size, batch_rng)
            else:
                batches = shuffled_batches(len(groups), args.batch_size, batch_rng)
            for batch in batches:
                step += 1
                step_started = time.perf_counter()
                labels = train_set.labels[batch]
                logits = model(network_input(train_set.pixels[batch]))
                losses = nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
                loss = loss_of(losses, torch.from_numpy(groups[batch]))
                optimizer.zero_grad()
                loss.backward()
                scalars = {
                    "train/loss": loss.item(),
                    "train/accuracy": accuracy(logits.detach().argmax(1).numpy() == labels),
                    "train/grad_norm": gradient_norm(model),
                    "train/lr": schedule.get_last_lr()[0],
                }
                optimizer.step()
                schedule.step()
                if dro and args.log_level == "heavy":
                    scalars |= group_weights(dro) | group_losses(dro)
                scalars["time/step_ms"] = 1e3 * (time.perf_counter() - step_started)
                trackbridge.log(scalars, step=step)

            predictions, test_losses = evaluate(model, test_set.pixels, test_set.labels, network_input)
            correct = predictions == test_set.labels
            factors = factor_accuracies(correct, test_set.values, test_set.labels)
            summary = {"test/accuracy": accuracy(correct)} | as_scalars(factors, standard.factors if standard else None)
            values: dict[str, object] = {"epoch": epoch, "test/loss": float(test_losses.mean()), **summary}
            if args.log_level != "light":
                values |= histograms(model, gradients=args.log_level == "heavy")
                values |= group_weights(dro) if dro else {}
            trackbridge.log(values, step=step)
            mmd = factors[args.explicit].mmd
            print(f"{args.method} epoch {epoch}: {summary['test/accuracy']:.1f} %, MMD by {args.explicit} {mmd:.1f}")

        log_results(run, summary, step)
        if args.log_level != "light":
            shown = len(correct) if args.log_level == "heavy" else 100
            trackbridge.log(
                {
                    "factors": factor_table(factors, args),
                    "confusion": confusion_table(test_set.labels, predictions, DIGIT_CLASSES),
                    "predictions": prediction_table(test_set, predictions, test_losses, shown),
                },
                step=step,
            )
        log_checkpoint(model)
        result = Result(args.method, summary["test/accuracy"], factors, time.process_time() - started)
        run.summary["time/cpu_s"] = result.cpu_seconds
    return result


def make_data(args: argparse.Namespace) -> tuple[str, BiasedImages, BiasedImages]:
    """The digits' name, the biased training set and the unbiased test set; the two share no digit."""
    dataset = digits(args.seed).subset(args.train_size, args.test_size, args.seed)
    train_rng, test_rng = np.random.default_rng(args.seed).spawn(2)
    train_set = biased_mnist(dataset.train, args.p, repeats=2, cell=args.cell, rng=train_rng)
    test_set = biased_mnist(dataset.test, dict.fromkeys(FACTORS, UNBIASED), repeats=4, cell=args.cell, rng=test_rng)
    return dataset.name, train_set, test_set


def group_weights(dro: GroupDRO) -> dict[str, float]:
    """Group DRO's weight of each group."""
    return {f"gdro/q/{group_name(group)}": q for group, q in enumerate(dro.q.tolist())}


def group_losses(dro: GroupDRO) -> dict[str, float]:
    """The loss of each group that the last batch had images of."""
    losses = enumerate(dro.losses.tolist())
    return {f"gdro/loss/{group_name(group)}": loss for group, loss in losses if loss == loss}


def sample_sheet(images: BiasedImages) -> trackbridge.Image:
    """The first eight images of each digit, a column per digit."""
    columns = [np.flatnonzero(images.labels == digit)[:8] for digit in range(10)]
    height = min(len(column) for column in columns)
    index = np.stack([column[:height] for column in columns], axis=1).ravel()
    return trackbridge.Image(image_grid(images.pixels[index], columns=10))


def factor_table(factors: dict[str, FactorAccuracy], args: argparse.Namespace) -> trackbridge.Table:
    """A row per factor: its bias in training, whether the method was told of it, and the model's accuracies."""
    rows: list[list[object]] = [
        [factor, args.p[factor], factor == args.explicit, result.majority, result.minority, result.mmd]
        for factor, result in factors.items()
    ]
    return trackbridge.Table(columns=["factor", "p", "explicit", "majority", "minority", "mmd"], rows=rows)


def prediction_table(images: BiasedImages, predictions: NDArray[np.int64], losses: NDArray[np.float32], count: int) -> trackbridge.Table:
    """The first ``count`` test images: label, prediction, loss, and the value of every factor."""
    columns = zip(images.labels.tolist(), predictions.tolist(), losses.tolist(), images.values.tolist(), strict=True)
    rows: list[list[object]] = [
        [index, label, prediction, loss, *values] for index, (label, prediction, loss, values) in enumerate(columns)
    ]
    return trackbridge.Table(columns=["index", "label", "prediction", "loss", *FACTORS], rows=rows[:count])


def main(argv: Sequence[str] | None = None) -> list[Result]:
    """The results of the runs that the command line asks for: none, one, or with ``--method all`` two."""
    args = parse(argv, __doc__)
    if args.contact_sheet:
        write_contact_sheet(args.contact_sheet, args.seed)
        return []
    results: list[Result] = []
    for method in ["stdm", "gdro"] if args.method == "all" else [args.method]:
        results.append(train(argparse.Namespace(**{**vars(args), "method": method}), *results))
    return results
