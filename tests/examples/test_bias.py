"""The bias experiment from end to end, in its smallest setting."""

import math

import numpy as np
import pytest
from trackbridge_examples.bias import options
from trackbridge_examples.bias.factors import FACTORS, UNBIASED
from trackbridge_examples.bias.train import main, make_data

import trackbridge

from .conftest import RecordedRun

EPOCH_KEYS = {"epoch", "test/accuracy", "test/loss"} | {
    key for factor in FACTORS for key in (f"accuracy/{factor}/majority", f"accuracy/{factor}/minority", f"mmd/{factor}")
}
IOSM_KEYS = {f"iosm/{factor}/{side}" for factor in FACTORS for side in ("majority", "minority")}
STEP_KEYS = {"train/loss", "train/accuracy", "train/grad_norm", "train/lr", "time/step_ms"}


def parse(*argv: str):
    return options.parse(argv, None)


def test_all_trains_the_standard_model_then_group_dro_in_one_group(runs: list[RecordedRun]) -> None:
    standard, dro = main(["--smoke", "--method", "all", "--seed", "3"])
    first, second = runs
    assert [run.settings["name"] for run in runs] == ["stdm-one-seed3", "gdro-one-seed3"]
    assert first.settings["group"] == second.settings["group"]
    assert all(run.finished for run in runs)

    assert first.logged_keys() >= EPOCH_KEYS | STEP_KEYS
    assert not IOSM_KEYS & first.logged_keys()
    assert second.logged_keys() >= EPOCH_KEYS | IOSM_KEYS
    assert second.settings["config"]["iosm_over"] == "stdm"
    for factor in FACTORS:
        for side in ("majority", "minority"):
            gain = getattr(dro.factors[factor], side) - getattr(standard.factors[factor], side)
            assert second.summary[f"iosm/{factor}/{side}"] == pytest.approx(gain, nan_ok=True)


def test_a_run_logs_every_kind_of_value(runs: list[RecordedRun]) -> None:
    (result,) = main(["--smoke", "--method", "gdro", "--log-level", "heavy"])
    (run,) = runs
    assert [step for step, values in run.calls if "train/loss" in values] == list(range(1, 21))
    assert run.axes == dict.fromkeys(("test/*", "accuracy/*", "mmd/*", "iosm/*"), "epoch")
    kinds = {key: value.kind for _, values in run.calls for key, value in values.items() if hasattr(value, "kind")}
    assert kinds["samples/train"] == "image"
    assert kinds["weights/0.weight"] == kinds["gradients/0.weight"] == "histogram"
    assert kinds["confusion"] == kinds["factors"] == "table"
    assert list(run.artifacts) == ["checkpoint.pt"]

    assert dict(run.table("results")) == pytest.approx(
        {key: value for key, value in run.summary.items() if not key.startswith("time/")}, nan_ok=True
    )
    assert run.summary["test/accuracy"] == result.accuracy
    predictions = run.table("predictions")
    assert len(predictions) == 800
    right = [row[1] == row[2] for row in predictions]
    assert 100 * sum(right) / len(right) == pytest.approx(result.accuracy)
    assert sum(sum(row[1:]) for row in run.table("confusion")) == 800


def test_what_was_logged_can_be_read_back_exactly(runs: list[RecordedRun]) -> None:
    main(["--smoke", "--method", "gdro", "--log-level", "heavy"])
    (run,) = runs
    journal = trackbridge.read(run.real.id)
    assert not journal.deviations
    assert journal.config == run.settings["config"]
    assert dict(journal.summary) == pytest.approx(journal.summary | run.summary, nan_ok=True, rel=0, abs=0)
    metrics = journal.metrics
    assert metrics.filter(metrics["key"] == "train/loss")["value"].to_list() == run.series("train/loss")
    assert len(journal.artifacts) == 1


def test_group_weights_are_logged_by_level(runs: list[RecordedRun]) -> None:
    for level in ("light", "normal", "heavy"):
        main(["--smoke", "--method", "gdro", "--log-level", level])
    counts = [len(run.series("gdro/q/v3-y7")) for run in runs]
    assert counts == [0, 1, 20 + 1]
    light, normal, heavy = runs
    assert not [key for key in light.logged_keys() | normal.logged_keys() if key.startswith("gdro/loss/")]
    assert any(key.startswith("gdro/loss/") for key in heavy.logged_keys())
    weights = [value for key, value in heavy.calls[1][1].items() if key.startswith("gdro/q/")]
    assert len(weights) == 100
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert light.summary["test/accuracy"] == heavy.summary["test/accuracy"]  # logging does not change training


def test_the_same_seed_logs_the_same_bits_and_another_seed_does_not(runs: list[RecordedRun]) -> None:
    for seed in ("0", "0", "1"):
        main(["--smoke", "--method", "gdro", "--log-level", "heavy", "--seed", seed])
    first, again, other = runs
    assert first.comparable() == again.comparable()
    assert first.series("train/loss") != other.series("train/loss")


def test_a_test_set_without_a_majority_logs_nan(runs: list[RecordedRun]) -> None:
    main(["--smoke", "--test-size", "1", "--seed", "1"])
    (run,) = runs
    assert any(math.isnan(run.summary[f"mmd/{factor}"]) for factor in FACTORS)
    assert not math.isnan(run.summary["test/accuracy"])


def test_conditions_and_their_overrides() -> None:
    one, seven = parse(), parse("--condition", "seven")
    assert one.p == dict.fromkeys(FACTORS, UNBIASED) | {"distractor_color": 0.9}
    assert one.explicit == "distractor_color"
    assert (seven.p, seven.explicit) == (dict.fromkeys(FACTORS, 0.7), "distractor")
    changed = parse("--p", "0.5", "texture=1", "--explicit", "texture")
    assert changed.p == dict.fromkeys(FACTORS, 0.5) | {"texture": 1.0}
    assert changed.explicit == "texture"


@pytest.mark.parametrize("p", ["1.5", "-0.1", "nan", "textur=0.5", "texture=much"])
def test_an_impossible_bias_is_refused(p: str) -> None:
    with pytest.raises(SystemExit):
        parse("--p", p)


def test_training_data_are_biased_and_test_data_are_not() -> None:
    _, train, test = make_data(parse("--train-size", "1000", "--test-size", "500", "--cell", "12"))
    train_share, test_share = ((part.values == part.labels[:, None]).mean(axis=0) for part in (train, test))
    expected = np.full(len(FACTORS), UNBIASED)
    np.testing.assert_allclose(test_share, expected, atol=0.03)
    expected[FACTORS.index("distractor_color")] = 0.9
    np.testing.assert_allclose(train_share, expected, atol=0.03)
