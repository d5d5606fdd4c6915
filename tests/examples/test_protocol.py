"""The rules by which results are read, at their limits."""

import math

import pytest
from trackbridge_examples.bias.methods import PAPER
from trackbridge_examples.bias.protocol import PAPER_ACCURACIES, collapsed, is_leant_on, is_speed_of_learning, selected


def test_the_best_trial_is_selected_the_first_of_equals_and_never_nan() -> None:
    assert selected({0: 20.0, 1: 30.0, 2: 25.0}) == 1
    assert selected({2: 30.0, 1: 30.0, 0: 20.0}) == 1
    assert selected({0: math.nan, 1: 10.0, 2: math.nan}) == 1
    with pytest.raises(ValueError, match="no trial"):
        selected({0: math.nan})


@pytest.mark.parametrize(
    ("accuracy", "standard", "expected"),
    [(15, 17, False), (14.9, 10, True), (30, 32, False), (30, 32.1, True), (math.nan, 20, True), (10, 10, True)],
)
def test_a_model_has_collapsed_below_15_or_2_points_below_the_standard_model(accuracy: float, standard: float, expected: bool) -> None:
    assert collapsed(accuracy, standard) is expected


def test_a_factor_counts_only_where_the_standard_model_leans_on_it() -> None:
    assert [is_leant_on(mmd) for mmd in (15.1, 15.0, -40.0, math.nan)] == [True, False, False, False]


def test_a_gain_that_shrinks_by_more_than_half_is_speed_of_learning() -> None:
    assert [is_speed_of_learning(40, longer) for longer in (41, 20, 19.9, -1)] == [False, False, True, True]
    assert not is_speed_of_learning(-2, -3), "no gain, nothing that could shrink"


def test_the_paper_has_a_number_for_each_of_its_methods() -> None:
    assert all(len(row) == len(PAPER) for row in PAPER_ACCURACIES.values())
