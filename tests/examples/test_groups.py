"""Groups and the batches drawn from them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from trackbridge_examples.bias.groups import GROUPS, balanced_batches, group_name, in_majority, value_label_groups
from trackbridge_examples.training import shuffled_batches

indices = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60)


@given(indices)
def test_a_group_is_one_value_with_one_label(pairs: list[tuple[int, int]]) -> None:
    values, labels = np.array(pairs, dtype=np.int64).T
    groups = value_label_groups(values, labels)
    assert ((groups >= 0) & (groups < GROUPS)).all()
    same_group = groups[:, None] == groups
    same_pair = (values[:, None] == values) & (labels[:, None] == labels)
    np.testing.assert_array_equal(same_group, same_pair)
    assert [group_name(group) for group in groups] == [f"v{value}-y{label}" for value, label in pairs]


@given(indices)
def test_the_majority_of_a_label_is_one_group(pairs: list[tuple[int, int]]) -> None:
    values, labels = np.array(pairs, dtype=np.int64).T
    majority = in_majority(values, labels)
    np.testing.assert_array_equal(majority, value_label_groups(values, labels) % 11 == 0)
    np.testing.assert_array_equal(in_majority(np.stack([values, labels], axis=1), labels)[:, 0], majority)
    assert in_majority(labels, labels).all()


@given(
    groups=st.lists(st.integers(0, 99), min_size=1, max_size=80),
    size=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
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


@given(count=st.integers(1, 100), size=st.integers(1, 30))
def test_shuffled_batches_hold_no_image_twice(count: int, size: int) -> None:
    batches = shuffled_batches(count, size, np.random.default_rng(0))
    drawn = [index for batch in batches for index in batch]
    assert len(drawn) == len(set(drawn)) == count // size * size
    assert all(0 <= index < count for index in drawn)
