"""Trains a small EfficientNetV2 on Fashion-MNIST, with SGD, Adam or MADGRAD and a one-cycle schedule.

    python -m trackbridge_examples.efficientnet --optimizer madgrad
    python -m trackbridge_examples.efficientnet --table              # count the published models' parameters

Where Fashion-MNIST cannot be had, the run trains on 5,000 MNIST digits instead, and says so in its configuration.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import trackbridge
from trackbridge_examples.data import Images, digits, fashion_mnist_or_digits
from trackbridge_examples.efficientnet.network import SMALL, make_network
from trackbridge_examples.efficientnet.optimizers import LEARNING_RATES, make_optimizer
from trackbridge_examples.efficientnet.table import log_table
from trackbridge_examples.training import (
    accuracy,
    add_common_options,
    confusion_table,
    evaluate,
    gradient_norm,
    histograms,
    image_grid,
    log_checkpoint,
    log_results,
    parse_with_presets,
    positive,
    seed_everything,
    shuffled_batches,
)

SIZE = 32  # pixels: 28 and a border
NOT_SETTINGS = ("project", "group", "table")  # options that do not change what is trained
DATASETS = {"fashion-mnist": fashion_mnist_or_digits, "digits": digits}
PRESETS: dict[str, dict[str, object]] = {
    "quick": {"epochs": 3},
    "smoke": {"epochs": 1, "train_size": 640, "test_size": 200, "dataset": "digits"},
}


@dataclass(frozen=True)
class Result:
    """How a trained model does on the test images, in percent."""

    optimizer: str
    accuracy: float
    classes: dict[str, float]
    cpu_seconds: float  # of training, testing and logging


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The settings of a run."""
    parser = argparse.ArgumentParser(
        prog="python -m trackbridge_examples.efficientnet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rates = ", ".join(f"{name} {lr:g}" for name, lr in LEARNING_RATES.items())
    parser.add_argument("--optimizer", choices=LEARNING_RATES, default="madgrad", help="(%(default)s)")
    parser.add_argument("--lr", type=float, help=f"at the peak of the schedule ({rates})")
    parser.add_argument("--dataset", choices=DATASETS, default="fashion-mnist", help="(%(default)s)")
    parser.add_argument("--epochs", type=positive, default=4, help="(%(default)s)")
    parser.add_argument("--train-size", type=positive, default=6000, help="images (%(default)s)")
    parser.add_argument("--test-size", type=positive, default=1500, help="images (%(default)s)")
    parser.add_argument("--batch-size", type=positive, default=64, help="(%(default)s)")
    parser.add_argument("--table", action="store_true", help="count the published models' parameters instead of training")
    add_common_options(parser, project="efficientnet")
    args = parse_with_presets(parser, PRESETS, argv)
    args.lr = args.lr or LEARNING_RATES[args.optimizer]
    return args


def train(args: argparse.Namespace) -> Result:
    """One run: trains the network with ``args.optimizer`` and logs it."""
    seed_everything(args.seed)
    dataset = DATASETS[args.dataset](args.seed).subset(args.train_size, args.test_size, args.seed)
    mirrored = dataset.name == "Fashion-MNIST"  # a mirrored shoe is a shoe, a mirrored 3 is no digit

    model = make_network(len(dataset.classes))
    optimizer = make_optimizer(args.optimizer, model.parameters(), args.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        args.lr,
        total_steps=args.epochs * (len(dataset.train.labels) // args.batch_size),
        pct_start=0.2,
        cycle_momentum=False,
    )

    started = time.process_time()
    with trackbridge.init(
        project=args.project,
        name=f"{SMALL}-{args.optimizer}-seed{args.seed}",
        group=args.group or f"efficientnet-seed{args.seed}",
        tags=["efficientnet", args.optimizer],
        config={
            **{name: value for name, value in vars(args).items() if name not in NOT_SETTINGS},
            "dataset": dataset.name,
            "dataset_note": dataset.note,
            "train_images": len(dataset.train.labels),
            "test_images": len(dataset.test.labels),
            "model": SMALL,
            "image_size": SIZE,
            "mirrored": mirrored,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
    ) as run:
        for metrics in ("test/*", "class_accuracy/*"):
            run.define_metric(metrics, step="epoch")
        if args.log_level != "light":
            trackbridge.log({"samples": trackbridge.Image(image_grid(dataset.train.pixels[:80, :, :, None], columns=10))}, step=0)

        step = 0
        rng = np.random.default_rng(args.seed)
        for epoch in range(1, args.epochs + 1):
            model.train()
            for batch in shuffled_batches(len(dataset.train.labels), args.batch_size, rng):
                step += 1
                step_started = time.perf_counter()
                pixels, labels = dataset.train.take(batch)
                if mirrored:
                    pixels = np.where(rng.random(len(pixels))[:, None, None] < 0.5, pixels[:, :, ::-1], pixels)
                logits = model(network_input(pixels))
                loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels))
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
                scalars["time/step_ms"] = 1e3 * (time.perf_counter() - step_started)
                trackbridge.log(scalars, step=step)

            predictions, losses = evaluate(model, *dataset.test, network_input)
            correct = predictions == dataset.test.labels
            classes = {name: accuracy(correct[dataset.test.labels == index]) for index, name in enumerate(dataset.classes)}
            summary = {"test/accuracy": accuracy(correct), "test/loss": float(losses.mean())}
            summary |= {f"class_accuracy/{name}": value for name, value in classes.items()}
            values: dict[str, object] = {"epoch": epoch, **summary}
            if args.log_level != "light":
                values |= histograms(model, gradients=args.log_level == "heavy")
            trackbridge.log(values, step=step)
            print(f"{args.optimizer} epoch {epoch}: accuracy {summary['test/accuracy']:.1f} % on {dataset.name}")

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
        result = Result(args.optimizer, summary["test/accuracy"], classes, time.process_time() - started)
        run.summary["time/cpu_s"] = result.cpu_seconds
    return result


def network_input(pixels: NDArray[np.uint8]) -> Tensor:
    """Images ``[n, 28, 28]`` as the network wants them: ``[n, 3, 32, 32]`` with a black border, from -1 to 1."""
    border = (SIZE - pixels.shape[1]) // 2
    padded = np.pad(pixels, ((0, 0), (border, border), (border, border)))
    grey = torch.from_numpy(padded)[:, None].float().div_(127.5).sub_(1)
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def mistakes_sheet(images: Images, predictions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Up to forty test images that the model gets wrong."""
    wrong = np.flatnonzero(predictions != images.labels)[:40]
    return image_grid(images.pixels[wrong, :, :, None], columns=10)


def prediction_table(
    images: Images, predictions: NDArray[np.int64], losses: NDArray[np.float32], classes: Sequence[str], count: int
) -> trackbridge.Table:
    """The first ``count`` test images: the true class, the predicted one, the loss."""
    columns = zip(images.labels.tolist(), predictions.tolist(), losses.tolist(), strict=True)
    rows: list[list[object]] = [
        [index, classes[label], classes[prediction], loss] for index, (label, prediction, loss) in enumerate(columns)
    ]
    return trackbridge.Table(columns=["index", "label", "prediction", "loss"], rows=rows[:count])


def main(argv: Sequence[str] | None = None) -> list[Result]:
    """The result of the run that the command line asks for; none for ``--table``."""
    args = parse(argv)
    if args.table:
        log_table(args.project)
        return []
    return [train(args)]
