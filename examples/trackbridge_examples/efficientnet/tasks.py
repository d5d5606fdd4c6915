"""The image classification tasks, and what the results on each of them are worth."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trackbridge_examples.data import Dataset, DatasetUnavailable, Images, digits, fashion_mnist_or_digits
from trackbridge_examples.efficientnet.photos import histogram_accuracy, photo_patches
from trackbridge_examples.photo_files import Photos

NOT_AVAILABLE = "not available"
HISTOGRAM = "colour histogram and linear classifier"
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_SIDE = 32
CIFAR_PARTS = ([f"data_batch_{number}.bin" for number in range(1, 6)], ["test_batch.bin"])
CIFAR_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
PHOTO_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Task:
    """Images to classify; grey ones are ``[n, h, w]``, colour ones ``[n, h, w, 3]``."""

    dataset: Dataset
    mirrored: bool = True  # a mirrored shoe is a shoe, a mirrored 3 is no digit
    baselines: dict[str, float] = field(default_factory=dict)  # test accuracy in percent without a network, by method

    def claim(self, accuracy: float) -> float | str:
        """An accuracy as a table shows it: of images that stand in for the wanted ones there is none to be claimed."""
        return NOT_AVAILABLE if self.dataset.note else accuracy


def load(args: argparse.Namespace) -> Task:
    """The images that ``args.dataset`` names, at most so many as ``args`` says, drawn by its seed.

    Raises:
        DatasetUnavailable: they cannot be had here; the message says what would help.
    """
    return LOADERS[args.dataset](args)


def _fashion(args: argparse.Namespace) -> Task:
    dataset = fashion_mnist_or_digits(args.seed)
    return Task(_subset(dataset, args), mirrored=dataset.name == "Fashion-MNIST")


def _digits(args: argparse.Namespace) -> Task:
    return Task(_subset(digits(args.seed), args), mirrored=False)


def _photos(args: argparse.Namespace) -> Task:
    dataset = _subset(photo_patches(args.seed), args)
    return Task(dataset, baselines={HISTOGRAM: histogram_accuracy(dataset)})


def _cifar(args: argparse.Namespace) -> Task:
    return Task(_subset(cifar_10(args.root), args))


def _imagenet(args: argparse.Namespace) -> Task:
    return Task(image_folders(args.root, args.size, args.train_size, args.test_size, args.seed))


LOADERS: dict[str, Callable[[argparse.Namespace], Task]] = {
    "fashion-mnist": _fashion,
    "digits": _digits,
    "photos": _photos,
    "cifar-10": _cifar,
    "imagenet": _imagenet,
}
NEED_ROOT = ("cifar-10", "imagenet")


def _subset(dataset: Dataset, args: argparse.Namespace) -> Dataset:
    return dataset.subset(args.train_size, args.test_size, args.seed)


def cifar_10(root: Path) -> Dataset:
    """CIFAR-10 from the files of its binary version in ``root``: records of a label and 3 x 32 x 32 pixels."""
    parts = []
    for names in CIFAR_PARTS:
        missing = [name for name in names if not (root / name).is_file()]
        if missing:
            raise DatasetUnavailable(f"{root} lacks {', '.join(missing)}. Unpack the binary version, {CIFAR_SOURCE}, and name its folder")
        content = np.concatenate([np.fromfile(root / name, np.uint8) for name in names])
        record = 1 + 3 * CIFAR_SIDE**2
        if len(content) % record or content[::record].max(initial=0) >= len(CIFAR_CLASSES):
            raise DatasetUnavailable(f"{', '.join(names)} in {root}: not whole records of CIFAR-10's binary version")
        records = content.reshape(-1, record)
        pixels = records[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE).transpose(0, 2, 3, 1)
        parts.append(Images(pixels, records[:, 0].astype(np.int64)))
    return Dataset("CIFAR-10", CIFAR_CLASSES, parts[0], parts[1])


def image_folders(root: Path, size: int, train: int, test: int, seed: int) -> Dataset:
    """ImageNet's layout, ``train/CLASS/IMAGE`` and ``val/CLASS/IMAGE``: the middle squares of so many images, resized."""
    folders = [root / "train", root / "val"]
    for folder in folders:
        if not folder.is_dir():
            raise DatasetUnavailable(f"{folder} is missing: the folder of --root has train/CLASS/IMAGE and val/CLASS/IMAGE")
    classes = tuple(sorted(entry.name for entry in folders[0].iterdir() if entry.is_dir()))
    rng = np.random.default_rng(seed)
    parts = [_read_folder(folder, classes, count, size, rng) for folder, count in zip(folders, (train, test), strict=True)]
    return Dataset(f"images of {root.name}", classes, parts[0], parts[1])


def _read_folder(folder: Path, classes: tuple[str, ...], count: int, size: int, rng: np.random.Generator) -> Images:
    found = [
        (f"{name}/{path.name}", label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).glob("*"))
        if path.suffix.lower() in PHOTO_ENDINGS
    ]
    if not found:
        raise DatasetUnavailable(f"{folder} has no images in folders of the classes that train has; they end in {', '.join(PHOTO_ENDINGS)}")
    chosen = [found[index] for index in rng.permutation(len(found))[:count]]
    names: NDArray[np.str_] = np.array([name for name, _ in chosen])
    labels: NDArray[np.int64] = np.array([label for _, label in chosen], dtype=np.int64)
    return Images(Photos(folder, names, size)[np.arange(len(names))], labels)
