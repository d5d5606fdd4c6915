"""What the training scripts share: presets, seeds, and the values that are worth logging of any network."""

import argparse
import importlib
import math
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import trackbridge
from trackbridge_examples.data import DatasetUnavailable

LOG_LEVELS = ("light", "normal", "heavy")


def parse_with_presets(
    parser: argparse.ArgumentParser, presets: Mapping[str, Mapping[str, object]], argv: Sequence[str] | None
) -> argparse.Namespace:
    """Parses ``argv``, where ``--NAME`` of a preset changes defaults: options that are given win over it."""
    choice = parser.add_mutually_exclusive_group()
    for name, values in presets.items():
        settings = ", ".join(f"{key.replace('_', '-')} {value}" for key, value in values.items())
        choice.add_argument(f"--{name}", dest="preset", action="store_const", const=name, default="full", help=settings)
    parser.set_defaults(**presets.get(parser.parse_args(argv).preset, {}))
    return parser.parse_args(argv)


def add_common_options(parser: argparse.ArgumentParser, project: str) -> None:
    """The options that every script has."""
    parser.add_argument("--seed", type=seed, default=0, help="decides data, initial weights and order (%(default)s)")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="normal", help="how much is logged (%(default)s)")
    parser.add_argument("--project", default=project, help="(%(default)s)")
    parser.add_argument("--group", help="of the run (made from the settings)")


def positive(text: str) -> int:
    """An option's value that counts something."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {number}")
    return number


def seed(text: str) -> int:
    """An option's value that numpy, random and torch all take."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"from 0 to 2**32 - 1, not {number}")
    return number


def positive_number(text: str) -> float:
    """An option's value above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"above 0, not {text}")
    return number


def number_from_zero(text: str) -> float:
    """An option's value of at least 0."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"at least 0, not {text}")
    return number


def steps_in_all(images: int, batch_size: int, epochs: int) -> int:
    """How many full batches a training has.

    Raises:
        DatasetUnavailable: not a single one.
    """
    if images < batch_size:
        raise DatasetUnavailable(f"{images} training images fill no batch of {batch_size}: take a smaller --batch-size, or more images")
    return epochs * (images // batch_size)


def seed_everything(seed: int) -> None:
    """Seeds torch, numpy and random; one thread, so that sums have one order and a busy machine does not stall."""
    importlib.import_module("torch._dynamo")  # three seconds that else fall into the first run: an optimizer imports it
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def accuracy(correct: NDArray[np.bool_]) -> float:
    """The percentage of ``True``; NaN where there is nothing to count."""
    return 100.0 * float(correct.mean()) if correct.size else math.nan


def shuffled_batches(count: int, size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """One epoch: every image once, in a random order; an incomplete last batch is left out."""
    order = rng.permutation(count)
    return [order[start : start + size] for start in range(0, count - size + 1, size)]


class Pixels(Protocol):
    """Images, in memory or on disk, of which those at an index can be had: ``[b, height, width, channels]``."""

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[np.uint8]: ...


def evaluate(
    model: nn.Module,
    pixels: Pixels,
    labels: NDArray[np.int64],
    network_input: Callable[[NDArray[np.uint8]], Tensor],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The model's predictions ``[n]`` and cross-entropies ``[n]``."""
    model.eval()
    with torch.inference_mode():
        chunks = np.array_split(np.arange(len(labels)), -(-len(labels) // 125))
        logits = torch.cat([model(network_input(pixels[chunk])) for chunk in chunks])
        losses = nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
    return logits.argmax(1).numpy(), losses.numpy()


def grey_input(pixels: NDArray[np.uint8]) -> Tensor:
    """Grey images ``[n, h, w]`` as networks of colour images want them: ``[n, 3, h, w]`` (channels last in memory), from -1 to 1."""
    grey = torch.from_numpy(pixels)[:, None].float().div_(127.5).sub_(1)
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def gradient_norm(model: nn.Module) -> float:
    """The length of the gradient over all parameters."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


def histograms(model: nn.Module, *, gradients: bool = False) -> dict[str, object]:
    """A histogram of every weight tensor of more than one dimension (of its gradient too), named after it."""
    values: dict[str, object] = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            values[f"weights/{name}"] = trackbridge.Histogram(parameter.detach().numpy().ravel())
            if gradients and parameter.grad is not None:
                values[f"gradients/{name}"] = trackbridge.Histogram(parameter.grad.numpy().ravel())
    return values


def image_grid(pixels: NDArray[np.uint8], columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Images ``[n, h, w, c]`` as rows of a white sheet, left to right."""
    count, height, width, channels = pixels.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for index, image in enumerate(pixels):
        top, left = gap + index // columns * (height + gap), gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def confusion_table(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: Sequence[str]) -> "trackbridge.Table":
    """Counts: a row per true class, a column per predicted one."""
    counts: NDArray[np.int64] = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (labels, predictions), 1)
    rows: list[list[object]] = [[name, *row] for name, row in zip(classes, counts.tolist(), strict=True)]
    return trackbridge.Table(columns=["true class", *classes], rows=rows)


def log_checkpoint(model: nn.Module) -> None:
    """The model's state as the artifact ``checkpoint.pt``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.pt")
        torch.save(model.state_dict(), path)
        trackbridge.log_artifact(path, type="model")


def log_results(run: "trackbridge.Run", results: Mapping[str, float], step: int) -> None:
    """A run's headline results, twice: as summary values and as the table ``results`` of (metric, value)."""
    for metric, value in results.items():
        run.summary[metric] = value
    trackbridge.log(
        {"results": trackbridge.Table(columns=["metric", "value"], rows=[[*item] for item in results.items()])},
        step=step,
    )
