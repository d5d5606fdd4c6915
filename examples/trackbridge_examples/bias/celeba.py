"""CelebA as a problem: is the hair blond?  Few blond people in it are men, so gender gives the answer away.

It reads the official files, which have to be downloaded by hand: ``list_attr_celeba.txt``, ``list_eval_partition.txt``
and the folder ``img_align_celeba``.  Images are read from disk when they are needed.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trackbridge_examples.bias.problem import Problem, Split
from trackbridge_examples.data import DatasetUnavailable
from trackbridge_examples.photo_files import Photos
from trackbridge_examples.torchvision_remedy import import_torchvision

ATTRIBUTES, PARTITION, IMAGES = "list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"
SOURCE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
CLASSES = ("not blond", "blond")
FACTORS = ("gender",)  # 0 is female, 1 male
PARTITIONS = ("train", "validation", "test")


def celeba_problem(args: argparse.Namespace) -> Problem:
    """Blond hair and gender, four groups, of which blond men are the minority and the others the majority.

    The photos of every partition are biased alike, so its unbiased accuracy is the mean of the four groups'.  At most
    ``train_size``, ``val_size`` and ``test_size`` photos are taken of the official partitions, drawn by the seed.

    Raises:
        DatasetUnavailable: the folder lacks a file, or a file is not what its name says.
    """
    root = find_root(args.root)
    names, labels, genders = read_attributes(root / ATTRIBUTES)
    partition = read_partition(root / PARTITION, names)
    photos = root / IMAGES
    rng = np.random.default_rng(args.seed)
    splits: list[Split] = []
    for number, size in enumerate((args.train_size, args.val_size, args.test_size)):
        index = rng.permutation(np.flatnonzero(partition == number))[:size]
        if not index.size:
            raise DatasetUnavailable(f"{PARTITION} has no image in the partition {PARTITIONS[number]}")
        label, gender = labels[index], genders[index]
        majority = ~((label == 1) & (gender == 1))
        pixels = Photos(photos, names[index], args.size)
        splits.append(Split(pixels, label, gender[:, None], majority[:, None], np.arange(len(index)), 2 * gender + label))
    train, validation, test = splits
    return Problem("CelebA", CLASSES, FACTORS, train, validation, validation, test, make_resnet, environments_have_labels=True)


def find_root(root: Path | None) -> Path:
    """The folder, if it has everything."""
    where = f"Download the aligned and cropped images, the attributes and the partitions from {SOURCE}, unpack them, and name the folder"
    if root is None:
        raise DatasetUnavailable(f"CelebA is not in any package. {where} with --root DIR.")
    missing = [name for name in (ATTRIBUTES, PARTITION, IMAGES) if not (root / name).exists()]
    if missing:
        raise DatasetUnavailable(f"{root} lacks {', '.join(missing)}. {where} that has all three with --root.")
    return root


def read_attributes(path: Path) -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.int64]]:
    """Names of all images, whether their hair is blond, and whether they are male: the count, a header, then 1 or -1."""
    lines = path.read_text().splitlines()
    header, rows = lines[1].split() if len(lines) > 1 else [], [line.split() for line in lines[2:]]
    wanted = ("Blond_Hair", "Male")
    if not set(wanted) <= set(header) or any(len(row) != len(header) + 1 for row in rows) or int(lines[0]) != len(rows):
        raise DatasetUnavailable(f"{path} is not the official file: a count, the attributes' names, and so many rows")
    blond, male = (np.array([row[1 + header.index(name)] == "1" for row in rows], dtype=np.int64) for name in wanted)
    return np.array([row[0] for row in rows]), blond, male


def read_partition(path: Path, names: NDArray[np.str_]) -> NDArray[np.int64]:
    """The partition of each of the named images: 0 training, 1 validation, 2 test."""
    numbers = dict(line.split() for line in path.read_text().splitlines() if line.strip())
    try:
        return np.array([int(numbers[name]) for name in names], dtype=np.int64)
    except KeyError as name:
        raise DatasetUnavailable(f"{path} says nothing of {name.args[0]}") from None


def make_resnet() -> nn.Sequential:
    """torchvision's ResNet-18 with two logits and random weights, its last layer apart."""
    import_torchvision()
    from torchvision.models import resnet18

    *layers, last = resnet18(num_classes=len(CLASSES)).children()
    return nn.Sequential(*layers, nn.Flatten(), last)
