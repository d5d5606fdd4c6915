"""Accuracy, MMD and IOSM on worked examples."""

import math

import numpy as np
import pytest
from trackbridge_examples.bias.factors import FACTORS
from trackbridge_examples.bias.metrics import FactorAccuracy, as_scalars, factor_accuracies
from trackbridge_examples.training import accuracy


def one_factor(index: int, values: list[int]) -> np.ndarray:
    """Values of seven factors, all of them 0 but one's."""
    result = np.zeros((len(values), len(FACTORS)), np.int64)
    result[:, index] = values
    return result


def test_accuracy_is_a_percentage_and_nan_of_nothing() -> None:
    assert accuracy(np.array([True, True, True, False])) == 75
    assert math.isnan(accuracy(np.array([], dtype=bool)))


def test_mmd_by_hand() -> None:
    """Labels all 1; by texture two images are in the majority (both right), three in the minority (one right)."""
    index = FACTORS.index("texture")
    correct = np.array([True, True, True, False, False])
    factors = factor_accuracies(correct, one_factor(index, [1, 1, 0, 5, 9]), np.ones(5, np.int64))
    assert factors["texture"].majority == 100
    assert factors["texture"].minority == pytest.approx(100 / 3)
    assert factors["texture"].mmd == pytest.approx(200 / 3)


def test_a_side_without_images_is_nan_and_so_is_its_mmd() -> None:
    """Labels all 1, and every factor but texture has value 0: nobody is in their majority."""
    factors = factor_accuracies(np.array([True, False]), one_factor(FACTORS.index("texture"), [1, 1]), np.ones(2, np.int64))
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
