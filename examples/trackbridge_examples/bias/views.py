"""A trained model's results as tables and images."""

import argparse

import numpy as np
from numpy.typing import NDArray

import trackbridge
from trackbridge_examples.bias.metrics import FactorAccuracy, group_accuracies
from trackbridge_examples.bias.problem import Problem, Split
from trackbridge_examples.training import image_grid

BLOCK = 12  # pixels of a group in a heat map


def sample_sheet(split: Split) -> trackbridge.Image:
    """The first eight images of each class, a column per class."""
    columns = [np.flatnonzero(split.labels == label)[:8] for label in np.unique(split.labels)]
    height = min(len(column) for column in columns)
    index = np.stack([column[:height] for column in columns], axis=1).ravel()
    return trackbridge.Image(image_grid(split.pixels[index], columns=len(columns)))


def factor_table(factors: dict[str, FactorAccuracy], args: argparse.Namespace) -> trackbridge.Table:
    """A row per factor: its bias in training, whether the method was told of it, and the model's accuracies."""
    rows: list[list[object]] = [
        [factor, args.p.get(factor), factor in args.explicit, result.majority, result.minority, result.mmd]
        for factor, result in factors.items()
    ]
    return trackbridge.Table(columns=["factor", "p", "explicit", "majority", "minority", "mmd"], rows=rows)


def group_table(problem: Problem, correct: NDArray[np.bool_]) -> trackbridge.Table:
    """A row per factor, value and label: how many test images there are and how many percent of them are right."""
    test_set = problem.test
    rows: list[list[object]] = [
        [factor, *row]
        for factor, values in zip(problem.factors, test_set.values.T, strict=True)
        for row in group_accuracies(correct, values, test_set.labels)
    ]
    return trackbridge.Table(columns=["factor", "value", "label", "images", "accuracy"], rows=rows)


def heat_map(problem: Problem, correct: NDArray[np.bool_], factor: str) -> trackbridge.Image:
    """Accuracy by value (rows) and label (columns), black 0 to white 100 %; groups without images are black too."""
    test_set = problem.test
    values = test_set.values[:, problem.factors.index(factor)]
    grid: NDArray[np.uint8] = np.zeros((int(values.max()) + 1, len(problem.classes)), np.uint8)
    for value, label, _, percent in group_accuracies(correct, values, test_set.labels):
        grid[value, label] = round(2.55 * percent)
    return trackbridge.Image(np.kron(grid, np.ones((BLOCK, BLOCK), np.uint8)))


def prediction_table(problem: Problem, predictions: NDArray[np.int64], losses: NDArray[np.float32], count: int) -> trackbridge.Table:
    """The first ``count`` test images: label, prediction, loss, and the value of every factor."""
    test_set = problem.test
    columns = zip(test_set.labels.tolist(), predictions.tolist(), losses.tolist(), test_set.values.tolist(), strict=True)
    rows: list[list[object]] = [
        [index, label, prediction, loss, *values] for index, (label, prediction, loss, values) in enumerate(columns)
    ]
    return trackbridge.Table(columns=["index", "label", "prediction", "loss", *problem.factors], rows=rows[:count])
