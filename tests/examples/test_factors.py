"""Sampling of the seven factors: distribution, independence, limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from trackbridge_examples.bias.factors import (
    BG_COLORS,
    DIGIT_COLORS,
    DISTRACTOR_COLORS,
    FACTORS,
    TEXTURE_COLORS,
    UNBIASED,
    VALUES,
    sample_values,
)

DRAWS = 20_000
SIGNIFICANCE = 1e-4  # of one test; the seeds are fixed, so a pass stays one


def draw(p: dict[str, float], seed: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if labels is None:
        labels = rng.integers(0, VALUES, DRAWS)
    return labels, sample_values(labels, p, rng)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("p", [UNBIASED, 0.7, 0.9])
def test_a_factor_has_the_label_s_value_with_probability_p_and_each_other_one_equally_often(factor: str, p: float) -> None:
    labels, values = draw(dict.fromkeys(FACTORS, UNBIASED) | {factor: p}, seed=FACTORS.index(factor))
    distance = (values[:, FACTORS.index(factor)] - labels) % VALUES
    expected = DRAWS * np.array([p, *[(1 - p) / (VALUES - 1)] * (VALUES - 1)])
    assert stats.chisquare(np.bincount(distance, minlength=VALUES), expected).pvalue > SIGNIFICANCE


def test_p_of_one_tenth_is_independent_of_the_label() -> None:
    labels, values = draw(dict.fromkeys(FACTORS, UNBIASED), seed=1)
    for column in values.T:
        counts = np.zeros((VALUES, VALUES))
        np.add.at(counts, (labels, column), 1)
        assert stats.chi2_contingency(counts).pvalue > SIGNIFICANCE


def test_factors_are_drawn_independently_of_each_other() -> None:
    labels, values = draw(dict.fromkeys(FACTORS, 0.7), seed=2)
    biased = values == labels[:, None]
    for first in range(len(FACTORS)):
        for second in range(first):
            counts = np.histogram2d(biased[:, first], biased[:, second], bins=2)[0]
            assert stats.chi2_contingency(counts).pvalue > SIGNIFICANCE


@given(
    labels=st.lists(st.integers(0, VALUES - 1), max_size=40),
    p=st.fixed_dictionaries({factor: st.floats(0, 1) for factor in FACTORS}),
    seed=st.integers(0, 2**32 - 1),
)
def test_values_are_indices_decided_by_the_seed_and_certain_at_the_limits(labels: list[int], p: dict[str, float], seed: int) -> None:
    array = np.array(labels, dtype=np.int64)
    _, values = draw(p, seed, array)
    assert values.shape == (len(labels), len(FACTORS))
    assert ((values >= 0) & (values < VALUES)).all()
    np.testing.assert_array_equal(values, draw(p, seed, array)[1])
    for index, factor in enumerate(FACTORS):
        if p[factor] in (0, 1):
            assert ((values[:, index] == array) == (p[factor] == 1)).all()


def test_the_colours_are_the_paper_s() -> None:
    assert DIGIT_COLORS[1].tolist() == [0, 255, 0]
    assert TEXTURE_COLORS[6].tolist() == [127, 0, 255]
    assert BG_COLORS[1].tolist() == [63, 0, 63]  # the 1 is green on purple
    assert DISTRACTOR_COLORS[0].tolist() == DIGIT_COLORS[9].tolist()
