"""The studies from end to end, in their smallest setting."""

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from trackbridge_examples import data
from trackbridge_examples.efficientnet import run as run_module
from trackbridge_examples.efficientnet import versions
from trackbridge_examples.efficientnet.run import train
from trackbridge_examples.efficientnet.train import main

from .conftest import RecordedRun


def comparison(runs: list[RecordedRun]) -> list[dict[str, object]]:
    content = runs[-1].series("comparison")[0].inline
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


def test_scaling_trains_each_way_in_one_group_and_plots_it(runs: list[RecordedRun]) -> None:
    results = main(["--smoke", "--study", "scaling", "--log-level", "light"])
    assert [result.name for result in results] == ["base", "depth-x2.7", "width-x2.7", "resolution-x2.7", "compound-x2.7"]
    assert len({run.settings["group"] for run in runs}) == 1
    assert all(run.finished for run in runs)
    rows = comparison(runs)
    assert [row["test accuracy (%)"] for row in rows] == [result.accuracy for result in results]
    assert [row["times"] for row in rows] == pytest.approx([1, 2.7, 2.7, 2.7, 2.7], rel=0.06)
    assert runs[-1].series("accuracy")[0].kind == "figure"
    assert len(runs[-1].table("time/cost")) == 5


def test_versions_are_timed_in_turn_and_trained_in_both_layouts(runs: list[RecordedRun]) -> None:
    results = main(["--smoke", "--study", "versions", "--log-level", "light"])
    assert [result.name for result in results] == [
        f"small-{version}-{layout}" for version in ("v1", "v2") for layout in ("nchw", "channels-last")
    ]
    steps, *_ = runs
    assert len(steps.series("time/v1 nchw_ms")) == len(steps.series("time/v2 channels-last_ms")) == 2
    assert [row[:2] for row in runs[-1].table("time/ratios")] == [["small", "nchw"], ["small", "channels-last"]]
    assert [row["layout"] for row in comparison(runs)] == ["nchw", "channels-last"] * 2


def test_a_study_that_was_stopped_goes_on(runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its second command trains what the first one did not come to, and has the tables of a study that was never stopped."""
    argv = ["--smoke", "--study", "versions", "--log-level", "light"]
    trainings = count()

    def killed(args: Any, plan: Any, task: Any) -> Any:
        if next(trainings) == 2:
            raise KeyboardInterrupt
        return train(args, plan, task)

    monkeypatch.setattr(run_module, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        main(argv)
    monkeypatch.setattr(run_module, "train", train)
    stopped = len(runs)
    results = main(argv)
    names = [run.settings["name"] for run in runs]
    assert names[stopped:] == ["small-v2-nchw-seed0", "small-v2-channels-last-seed0", "versions-seed0"]
    assert len(set(names)) == len(names)
    tables = [runs[-1].table(name) for name in ("comparison", "time/ratios", "time/cost")]
    assert main(argv) == results
    assert [runs[-1].table(name) for name in ("comparison", "time/ratios", "time/cost")] == tables
    assert len(runs) == len(names) + 1
    main([*argv, "--epochs", "2"])
    assert len(runs) == len(names) + 1 + 5, "other settings are other trainings; steps take as long"


def test_progressive_learning_is_compared_at_equal_epochs_and_repeats_itself(
    runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("first", "second"):
        monkeypatch.setenv("TRACKBRIDGE_DIR", str(tmp_path / folder))
        main(["--smoke", "--study", "progressive"])
    first, again = runs[:5], runs[5:]
    assert [run.comparable() for run in first] == [run.comparable() for run in again]
    rows = comparison(runs)
    assert [row["training"] for row in rows][::3] == ["progressive", "fixed-32-strongest"]
    assert [row["pixels"] for row in rows][:2] == ["20, 24, 28, 32", "32, 32, 32, 32"]
    assert rows[0]["magnitude"] == rows[1]["magnitude"] == rows[2]["magnitude"]
    costs = [row["multiply-adds in training (M)"] for row in rows]
    assert costs[2] == pytest.approx(costs[0], rel=0.1)
    assert costs[0] < costs[1] == costs[3]
    assert {len(run.series("train/loss")) for run in first[:4]} == {10}


def test_without_fashion_mnist_a_study_claims_no_accuracy(
    runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable() -> None:
        raise data.DatasetUnavailable("no apt-get here")

    monkeypatch.setattr(data, "fashion_mnist", unavailable)
    main(["--smoke", "--study", "scaling", "--dataset", "fashion-mnist", "--log-level", "light"])
    assert {row["test accuracy (%)"] for row in comparison(runs)} == {"not available"}
    assert "accuracy" not in runs[-1].logged_keys()
    assert "no apt-get here" in runs[-1].settings["config"]["dataset_note"]


def test_contenders_take_turns_and_each_goes_first_as_often() -> None:
    order: list[str] = []

    def contender(name: str) -> Callable[[], object]:
        return lambda: order.append(name)

    times = versions.take_turns({(name, ""): contender(name) for name in "abc"}, rounds=4)
    assert {len(seconds) for seconds in times.values()} == {4}
    rounds = ["".join(order[start : start + 3]) for start in range(0, len(order), 3)]
    assert rounds == ["abc", "bca", "cab", "abc", "bca", "cab"]


def test_the_time_of_each_contender_is_its_own() -> None:
    def busy() -> None:
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass

    times = versions.take_turns({("busy", ""): busy, ("idle", ""): lambda: None}, rounds=3)
    assert min(times["busy", ""]) >= 0.01
    assert min(times["busy", ""]) > min(times["idle", ""])


@given(st.integers(1, 60))
def test_the_median_interval_is_that_of_the_binomial_distribution(n: int) -> None:
    low, high = versions.median_interval(list(np.random.default_rng(n).permutation(n).astype(float)))
    assert low + high == n - 1
    assert low == 0 or 1 - 2 * stats.binom.cdf(low, n, 0.5) >= 0.95
    if low + 1 < n // 2:
        assert 1 - 2 * stats.binom.cdf(low + 1, n, 0.5) < 0.95
