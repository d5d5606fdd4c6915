"""Slope, exponent and quantile, by their properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackbridge_comparison.statistics import exponent, line, quantile

sizes = st.lists(st.integers(1, 10**6), min_size=2, max_size=8, unique=True)


@given(sizes, st.floats(0.1, 1e3), st.floats(-1e4, 1e4))
def test_a_line_is_found_again(x: list[int], slope: float, intercept: float) -> None:
    found = line(x, [slope * value + intercept for value in x])
    assert found[0] == pytest.approx(slope, rel=1e-5, abs=1e-6)
    assert found[1] == pytest.approx(intercept, rel=1e-5, abs=1e-2 * max(x) * 1e-3 + 1e-3)


@given(sizes, st.floats(0.2, 3), st.floats(1e-6, 1e3))
def test_a_power_law_has_its_exponent(x: list[int], power: float, factor: float) -> None:
    assert exponent(x, [factor * value**power for value in x]) == pytest.approx(power, rel=1e-5)


@given(sizes, st.floats(1e-3, 1e3))
def test_the_unit_of_time_does_not_change_the_exponent(x: list[int], unit: float) -> None:
    seconds = [float(value) ** 1.5 + 3 for value in x]
    assert exponent(x, [unit * second for second in seconds]) == pytest.approx(exponent(x, seconds), abs=1e-6)


@pytest.mark.parametrize("x", [[], [1.0], [2.0, 2.0]])
def test_a_line_needs_two_sizes(x: list[float]) -> None:
    with pytest.raises(ValueError, match="two points"):
        line(x, x)


def test_an_exponent_needs_positive_values() -> None:
    with pytest.raises(ValueError, match="positive"):
        exponent([1, 2], [0.0, 1.0])


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_a_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    smaller = [value for value in values if value < found]
    assert len(smaller) < share * len(values) + 1e-9


def test_no_values_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)
