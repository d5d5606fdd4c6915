"""Biased MNIST as a problem: five folds of digits, none of which is in two of the sets."""

import argparse
from collections.abc import Mapping
from functools import partial

import numpy as np

from trackbridge_examples.bias.factors import FACTORS, UNBIASED
from trackbridge_examples.bias.generate import biased_mnist
from trackbridge_examples.bias.groups import in_majority
from trackbridge_examples.bias.network import make_network
from trackbridge_examples.bias.problem import Problem, Split
from trackbridge_examples.data import DIGIT_CLASSES, Images, digits

TRAIN_REPEATS, VALIDATION_REPEATS, TEST_REPEATS = 2, 2, 4  # how often a digit is painted


def biased_mnist_problem(args: argparse.Namespace) -> Problem:
    """The same digits, factors and order for the same seed, fold and sizes."""
    dataset = digits(args.seed, args.fold)
    numbers = np.random.default_rng(args.seed)
    order, test_order = (numbers.permutation(len(part.labels)) for part in (dataset.train, dataset.test))
    validation = dataset.train.take(order[: args.val_size])
    train = dataset.train.take(order[args.val_size : args.val_size + args.train_size])
    test = dataset.test.take(test_order[: args.test_size])
    unbiased = dict.fromkeys(FACTORS, UNBIASED)
    train_rng, test_rng, validation_rng, oracle_rng, shuffle_rng = np.random.default_rng(args.seed).spawn(5)

    def paint(source: Images, p: Mapping[str, float], repeats: int, rng: np.random.Generator) -> Split:
        images = biased_mnist(source, p, repeats=repeats, cell=args.cell, rng=rng)
        labels = shuffle_rng.permutation(images.labels) if args.shuffle_labels and source is train else images.labels
        return Split(images.pixels, labels, images.values, in_majority(images.values, labels), images.sources)

    return Problem(
        name=dataset.name,
        classes=DIGIT_CLASSES,
        factors=FACTORS,
        train=paint(train, args.p, TRAIN_REPEATS, train_rng),
        validation=paint(validation, args.p, VALIDATION_REPEATS, validation_rng),
        oracle=paint(validation, unbiased, VALIDATION_REPEATS, oracle_rng),
        test=paint(test, unbiased, TEST_REPEATS, test_rng),
        make_network=partial(make_network, args.width),
    )
