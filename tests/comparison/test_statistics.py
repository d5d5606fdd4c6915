"""The statistics of the report, by their properties, and against SciPy where it has the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from trackbridge_comparison.statistics import (
    agreement,
    coverage,
    discoveries,
    exponent,
    interval,
    line,
    median,
    permutation,
    quantile,
    ratio,
)

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


positive = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=9)
few = st.lists(st.integers(1, 5).map(float), min_size=1, max_size=6)


def test_seven_repeats_have_their_range_as_interval() -> None:
    samples = [5.0, 1.0, 4.0, 2.0, 7.0, 3.0, 6.0]
    assert interval(samples) == (1.0, 7.0)
    assert coverage(7) == pytest.approx(0.984375)
    assert interval([3.0]) == (3.0, 3.0)
    assert interval([3.0, 1.0]) == (1.0, 3.0)
    with pytest.raises(ValueError, match="needs samples"):
        interval([])


@pytest.mark.parametrize("n", [7, 10, 15, 24])
def test_an_interval_is_the_narrowest_that_covers_the_median(n: int) -> None:
    samples = [float(value) for value in range(n)]
    low, high = interval(samples)
    depth = int(low)
    inside = float(stats.binom.cdf(n - 1 - depth, n, 0.5) - stats.binom.cdf(depth, n, 0.5))
    assert coverage(n) == pytest.approx(inside)
    assert inside >= 0.95
    assert high == n - 1 - depth
    assert stats.binom.cdf(n - 2 - depth, n, 0.5) - stats.binom.cdf(depth + 1, n, 0.5) < 0.95


def test_intervals_cover_as_often_as_they_say() -> None:
    chance = np.random.default_rng(1)
    for n in (7, 10):
        covered, factors = 0, 0
        for _ in range(1500):
            new, old = (np.exp(chance.standard_t(3, n) * 0.2).tolist() for _ in range(2))
            low, high = interval(new)
            covered += low <= 1 <= high
            found = ratio(new, old)
            assert found is not None
            factors += found[1] <= 1 <= found[2]
        assert covered / 1500 >= coverage(n) - 0.015
        assert 0.94 <= factors / 1500 <= 0.985


@given(positive, positive, st.floats(0.1, 10))
def test_a_ratio_scales_and_turns_round(new: list[float], old: list[float], factor: float) -> None:
    found, back = ratio(new, old), ratio(old, new)
    assert found is not None
    assert back is not None
    assert found[1] <= found[0] <= found[2]
    assert back == pytest.approx((1 / found[0], 1 / found[2], 1 / found[1])) or len(new) * len(old) % 2 == 0
    scaled = ratio([factor * value for value in new], old)
    if len({*new, *old}) > 1 and factor * new[0] != old[0]:
        assert scaled == pytest.approx(tuple(factor * value for value in found))


def test_what_has_no_ratio() -> None:
    assert ratio([], [1.0]) is None
    assert ratio([0.0, 1.0], [1.0, 1.0]) is None
    assert ratio([0.0, 0.0], [0.0]) == (1.0, 1.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(few, few)
def test_the_permutation_test_is_exact_with_ties_too(new: list[float], old: list[float]) -> None:
    def away(x: object, y: object, axis: int) -> object:
        ranks = stats.rankdata(np.concatenate([x, y], axis=axis), axis=axis)  # type: ignore[list-item]
        return np.abs(ranks[..., : np.shape(x)[axis]].sum(axis) - len(new) * (len(new) + len(old) + 1) / 2)

    if len(new) > 1 and len(old) > 1:  # SciPy refuses less
        wanted = stats.permutation_test((new, old), away, vectorized=True, n_resamples=10**5, alternative="greater").pvalue
        assert permutation(new, old) == pytest.approx(wanted)
    assert permutation(new, old) == pytest.approx(permutation(old, new))


def test_the_smallest_p_of_seven_repeats() -> None:
    low, high = [float(value) for value in range(7)], [float(value) for value in range(7, 14)]
    assert permutation(low, high) == pytest.approx(2 / 3432)
    assert permutation(low, high) == pytest.approx(stats.mannwhitneyu(low, high, method="exact").pvalue)
    assert permutation([1.0] * 7, [1.0] * 7) == 1
    with pytest.raises(ValueError, match="both sides"):
        permutation([], low)


@given(st.lists(st.floats(0, 1), max_size=40), st.sampled_from([0.01, 0.1, 0.5]))
def test_discoveries_are_those_of_scipy(p: list[float], rate: float) -> None:
    wanted = (stats.false_discovery_control(p) <= rate).tolist() if p else []
    edge = any(abs(value - rate) < 1e-12 for value in stats.false_discovery_control(p)) if p else False
    assert discoveries(p, rate) == wanted or edge


def test_agreement() -> None:
    samples = [100.0 + step for step in range(7)]
    assert agreement(samples, samples) == "agrees"
    assert agreement([1.5 * value for value in samples], samples) == "differs"
    assert agreement(samples[:6], [1.5 * value for value in samples]) == "undecided", "six repeats decide nothing"
    wide = [50.0, 70.0, 90.0, 100.0, 110.0, 140.0, 200.0]
    assert agreement(wide, wide) == "undecided", "the interval of the ratio is wider than a quarter"
    assert agreement([100.0], [100.0]) == "agrees"
    assert agreement([0.0] * 7, [1.0] * 7) == "undecided"
    assert median(wide) == 100
