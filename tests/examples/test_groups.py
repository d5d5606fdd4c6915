"""Groups and the batches drawn from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from trackbridge_examples.bias.groups import balanced_batches, environment_batches, group_by, in_majority
from trackbridge_examples.training import shuffled_batches

rows = st.integers(1, 3).flatmap(
    lambda factors: st.lists(st.lists(st.integers(0, 9), min_size=factors + 1, max_size=factors + 1), min_size=1, max_size=40)
)
some_groups = st.lists(st.integers(0, 99), min_size=1, max_size=80)


@given(rows)
def test_a_group_is_one_combination_of_values_with_one_label(table: list[list[int]]) -> None:
    array = np.array(table, dtype=np.int64)
    values, labels = array[:, :-1], array[:, -1]
    groups = group_by(values, labels)
    same_row = (array[:, None] == array).all(axis=2)
    np.testing.assert_array_equal(groups.index[:, None] == groups.index, same_row)
    names = [f"v{'.'.join(map(str, row[:-1]))}-y{row[-1]}" for row in table]
    assert [groups.names[group] for group in groups.index] == names
    assert sorted(set(names)) == sorted(groups.names)
    assert groups.sizes.tolist() == [names.count(name) for name in groups.names]


@given(rows)
def test_a_group_without_labels_is_one_combination_of_values(table: list[list[int]]) -> None:
    values = np.array(table, dtype=np.int64)
    groups = group_by(values)
    assert [groups.names[group] for group in groups.index] == [f"v{'.'.join(map(str, row))}" for row in table]


@given(rows)
def test_groups_do_not_depend_on_the_order_of_the_images(table: list[list[int]]) -> None:
    values = np.array(table, dtype=np.int64)
    forward, backward = group_by(values), group_by(values[::-1])
    assert forward.names == backward.names
    np.testing.assert_array_equal(forward.index[::-1], backward.index)


@given(rows)
def test_the_majority_of_a_factor_has_the_label_s_value(table: list[list[int]]) -> None:
    array = np.array(table, dtype=np.int64)
    values, labels = array[:, :-1], array[:, -1]
    assert in_majority(values, labels).tolist() == [[value == row[-1] for value in row[:-1]] for row in table]


@given(groups=some_groups, size=st.integers(1, 20), seed=st.integers(0, 1000))
def test_balanced_batches_are_full_and_draw_from_existing_images(groups: list[int], size: int, seed: int) -> None:
    batches = balanced_batches(np.array(groups), size, np.random.default_rng(seed))
    assert [len(batch) for batch in batches] == [size] * (len(groups) // size)
    assert all(((batch >= 0) & (batch < len(groups))).all() for batch in batches)


def test_balanced_batches_draw_every_group_equally_and_every_image_of_a_group_equally() -> None:
    groups = np.repeat([7, 40, 41, 99], [1, 10, 100, 1889])
    rng = np.random.default_rng(0)
    drawn = np.concatenate([batch for _ in range(10) for batch in balanced_batches(groups, 50, rng)])
    counts = np.bincount(groups[drawn])[[7, 40, 41, 99]]
    assert counts.sum() == 20_000
    assert stats.chisquare(counts).pvalue > 1e-4
    within = np.bincount(drawn[groups[drawn] == 41] - 11, minlength=100)
    assert stats.chisquare(within).pvalue > 1e-4


@given(groups=some_groups, size=st.integers(1, 20), most=st.integers(1, 16), seed=st.integers(0, 1000))
def test_environment_batches_have_as_many_images_of_each_of_a_few_environments(groups: list[int], size: int, most: int, seed: int) -> None:
    environments = np.array(groups)
    batches = environment_batches(environments, size, most, np.random.default_rng(seed))
    number = min(most, len(set(groups)), size)
    assert len(batches) == len(groups) // size
    for batch in batches:
        present, counts = np.unique(environments[batch], return_counts=True)
        assert len(present) == number
        assert set(counts.tolist()) == {size // number}


def test_environment_batches_draw_every_environment_and_image_equally() -> None:
    environments = np.repeat([0, 3, 5, 6], [2, 30, 468, 1500])
    rng = np.random.default_rng(0)
    drawn = np.concatenate([batch for _ in range(10) for batch in environment_batches(environments, 20, 3, rng)])
    counts = np.bincount(environments[drawn])[[0, 3, 5, 6]]
    assert counts.sum() == 18 * 1000
    assert counts / counts.sum() == pytest.approx([0.25] * 4, abs=0.02)
    assert stats.chisquare(np.bincount(drawn[environments[drawn] == 3] - 2, minlength=30)).pvalue > 1e-4


@given(count=st.integers(0, 100), size=st.integers(1, 30), seed=st.integers(0, 1000))
def test_shuffled_batches_have_every_image_once_but_those_of_an_incomplete_batch(count: int, size: int, seed: int) -> None:
    batches = shuffled_batches(count, size, np.random.default_rng(seed))
    drawn = [index for batch in batches for index in batch.tolist()]
    assert len(drawn) == len(set(drawn)) == count - count % size
    assert set(drawn) <= set(range(count))
