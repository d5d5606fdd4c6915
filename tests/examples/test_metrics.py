"""Accuracy, MMD and IOSM on worked examples, and of predictors that see nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackbridge_examples.bias.factors import FACTORS, UNBIASED, sample_values
from trackbridge_examples.bias.groups import in_majority
from trackbridge_examples.bias.metrics import FactorAccuracy, as_scalars, factor_accuracies, group_accuracies, mmd_error, unbiased_accuracy
from trackbridge_examples.training import accuracy


def one_factor(index: int, values: list[int]) -> np.ndarray:
    """Values of seven factors, all of them 0 but one's."""
    result = np.zeros((len(values), len(FACTORS)), np.int64)
    result[:, index] = values
    return result


def measure(correct: list[bool], values: np.ndarray, labels: np.ndarray) -> dict[str, FactorAccuracy]:
    return factor_accuracies(np.array(correct), in_majority(values, labels), FACTORS)


def test_accuracy_is_a_percentage_and_nan_of_nothing() -> None:
    assert accuracy(np.array([True, True, True, False])) == 75
    assert math.isnan(accuracy(np.array([], dtype=bool)))


def test_unbiased_accuracy_is_the_mean_over_images_or_else_over_groups() -> None:
    """Group 0 has three images, two of them right; group 4 has one, which is wrong."""
    correct = np.array([True, True, False, False])
    assert unbiased_accuracy(correct) == 50
    assert unbiased_accuracy(correct, np.array([0, 0, 0, 4])) == pytest.approx(100 / 3)


def test_mmd_by_hand() -> None:
    """Labels all 1; by texture two images are in the majority (both right), three in the minority (one right)."""
    factors = measure([True, True, True, False, False], one_factor(FACTORS.index("texture"), [1, 1, 0, 5, 9]), np.ones(5, np.int64))
    assert factors["texture"].majority == 100
    assert factors["texture"].minority == pytest.approx(100 / 3)
    assert factors["texture"].mmd == pytest.approx(200 / 3)


def test_a_side_without_images_is_nan_and_so_is_its_mmd() -> None:
    """Labels all 1, and every factor but texture has value 0: nobody is in their majority."""
    factors = measure([True, False], one_factor(FACTORS.index("texture"), [1, 1]), np.ones(2, np.int64))
    assert math.isnan(factors["digit_color"].majority)
    assert factors["digit_color"].minority == 50
    assert math.isnan(factors["digit_color"].mmd)
    assert math.isnan(factors["texture"].minority)


def test_iosm_is_the_gain_of_each_side_over_the_standard_model() -> None:
    method, standard = FactorAccuracy(90.0, 60.0), FactorAccuracy(99.0, 12.0)
    assert method.iosm(standard) == FactorAccuracy(-9, 48)
    assert standard.iosm(standard) == FactorAccuracy(0, 0)


def test_iosm_is_among_the_scalars_only_with_a_standard_model() -> None:
    method, standard = {"texture": FactorAccuracy(90.0, 60.0)}, {"texture": FactorAccuracy(99.0, 12.0)}
    scalars = as_scalars(method)
    assert scalars == {"accuracy/texture/majority": 90, "accuracy/texture/minority": 60, "mmd/texture": 30}
    assert as_scalars(method, standard) == scalars | {"iosm/texture/majority": -9, "iosm/texture/minority": 48}


def test_group_accuracies_by_hand() -> None:
    rows = group_accuracies(np.array([True, False, True]), np.array([3, 3, 0]), np.array([7, 7, 2]))
    assert rows == [(0, 2, 1, 100), (3, 7, 2, 50)]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=80))
def test_groups_and_sides_are_parts_of_the_whole(images: list[tuple[bool, int, int]]) -> None:
    """The accuracies of all groups, and of both sides, weighted by their images, make the accuracy."""
    correct, values, labels = map(np.array, zip(*images, strict=True))
    groups = group_accuracies(correct, values, labels)
    assert sum(images for _, _, images, _ in groups) == len(correct)
    assert sum(images * percent for _, _, images, percent in groups) / len(correct) == pytest.approx(accuracy(correct))
    side = values == labels
    (result,) = factor_accuracies(correct, side[:, None], ["texture"]).values()
    parts = [(side.mean(), result.majority), ((~side).mean(), result.minority)]
    assert sum(share * percent for share, percent in parts if share) == pytest.approx(accuracy(correct))
    majority = [(images, percent) for value, label, images, percent in groups if value == label]
    if majority:
        assert sum(images * percent for images, percent in majority) / side.sum() == pytest.approx(result.majority)


def test_a_constant_predictor_has_chance_accuracy_and_no_mmd() -> None:
    """Exactly so where each label is once with each value; but for chance where values are drawn at p = 0.1."""
    labels, values = (part.ravel() for part in np.indices((10, 10)))
    correct = labels == 3
    (exact,) = factor_accuracies(correct, (values == labels)[:, None], ["texture"]).values()
    assert exact == FactorAccuracy(10, 10)
    assert exact.mmd == 0
    assert accuracy(correct) == 10

    labels = np.repeat(np.arange(10), 2000)
    drawn = sample_values(labels, dict.fromkeys(FACTORS, UNBIASED), np.random.default_rng(0))
    majority = in_majority(drawn, labels)
    for index, result in enumerate(factor_accuracies(labels == 3, majority, FACTORS).values()):
        assert abs(result.mmd) < 4 * mmd_error(labels == 3, majority[:, index], np.arange(len(labels)))


def test_a_predictor_that_reads_the_bias_has_the_largest_mmd() -> None:
    labels = np.repeat(np.arange(10), 100)
    drawn = sample_values(labels, dict.fromkeys(FACTORS, UNBIASED), np.random.default_rng(0))
    factors = measure(list(drawn[:, 2] == labels), drawn, labels)
    assert factors[FACTORS[2]] == FactorAccuracy(100, 0)
    assert all(abs(factors[name].mmd) < 15 for name in FACTORS if name != FACTORS[2])


def test_the_error_of_an_mmd_by_hand() -> None:
    """Majority: one of two is right; minority: one of four. Each image alone: variances 1/4 / 2 and 3/16 / 4."""
    correct = np.array([True, False, True, False, False, False])
    majority = np.array([True, True, False, False, False, False])
    assert mmd_error(correct, majority, np.arange(6)) == pytest.approx(100 * math.sqrt(1 / 8 + 3 / 64))
    assert math.isnan(mmd_error(correct, np.ones(6, bool), np.arange(6)))


def test_repeating_an_image_of_a_cluster_tells_nothing_new() -> None:
    rng = np.random.default_rng(0)
    correct, majority, clusters = rng.random(50) < 0.6, rng.random(50) < 0.3, np.arange(50)
    once = mmd_error(correct, majority, clusters)
    assert mmd_error(np.tile(correct, 4), np.tile(majority, 4), np.tile(clusters, 4)) == pytest.approx(once)
    assert mmd_error(np.tile(correct, 4), np.tile(majority, 4), np.arange(200)) == pytest.approx(once / 2)
