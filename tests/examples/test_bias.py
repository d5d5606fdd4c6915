"""The bias experiment from end to end, in its smallest setting."""

import math

import numpy as np
import pytest
from scipy import stats
from trackbridge_examples import data
from trackbridge_examples.bias import mnist, options
from trackbridge_examples.bias.factors import FACTORS, UNBIASED
from trackbridge_examples.bias.methods import METHODS, PAPER
from trackbridge_examples.bias.mnist import biased_mnist_problem
from trackbridge_examples.bias.protocol import SELECTED_BY
from trackbridge_examples.bias.train import main

import trackbridge

from .conftest import RecordedRun

EPOCH_KEYS = {"epoch", "test/accuracy", "test/loss", "validation/accuracy", "oracle/accuracy"} | {
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
    assert run.axes == dict.fromkeys(("test/*", "validation/*", "oracle/*", "accuracy/*", "mmd/*", "iosm/*"), "epoch")
    kinds = {key: value.kind for _, values in run.calls for key, value in values.items() if hasattr(value, "kind")}
    assert kinds["samples/train"] == kinds["heat/distractor_color"] == "image"
    assert kinds["weights/0.weight"] == kinds["gradients/0.weight"] == "histogram"
    assert kinds["confusion"] == kinds["factors"] == kinds["groups"] == "table"
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
    light, normal, heavy = runs
    assert not [key for key in light.logged_keys() if key.startswith("gdro/")]
    assert len(normal.series("gdro/q/v3-y3")) == 1
    assert len(heavy.series("gdro/q/v3-y3")) == 20 + 1
    weights = [value for key, value in heavy.calls[1][1].items() if key.startswith("gdro/q/")]
    assert 10 < len(weights) <= 100
    assert len(weights) == heavy.settings["config"]["groups"]
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    losses = [value for key, value in heavy.calls[1][1].items() if key.startswith("gdro/loss/")]
    assert len(losses) == len(weights)
    assert any(map(math.isnan, losses)), "a batch of 64 cannot have images of every group"
    assert light.summary["test/accuracy"] == heavy.summary["test/accuracy"]  # logging does not change training


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_logs_the_same_bits_with_every_method(runs: list[RecordedRun], method: str) -> None:
    for _ in range(2):
        (result,) = main(["--smoke", "--method", method, "--log-level", "heavy"])
    first, again = runs
    assert first.finished
    assert first.comparable() == again.comparable()
    assert first.settings["config"]["method"] == result.method == method
    assert first.logged_keys() >= EPOCH_KEYS | STEP_KEYS
    assert all(math.isfinite(value) for value in first.series("train/loss"))
    assert [first.summary[name] for name in SELECTED_BY] == [result.validation, result.oracle]


def test_another_seed_logs_other_bits(runs: list[RecordedRun]) -> None:
    for seed in ("0", "1"):
        main(["--smoke", "--seed", seed])
    first, other = runs
    assert first.series("train/loss") != other.series("train/loss")


@pytest.mark.parametrize("method", [name for name, entry in METHODS.items() if entry.told])
def test_a_method_may_be_told_of_several_factors(runs: list[RecordedRun], method: str) -> None:
    main(["--smoke", "--method", method, "--condition", "seven", "--explicit", "texture", "digit_color", "--log-level", "heavy"])
    (run,) = runs
    assert run.settings["config"]["explicit"] == ["texture", "digit_color"]
    assert [row[0] for row in run.table("factors") if row[2]] == ["digit_color", "texture"]
    assert {"heat/texture", "heat/digit_color"} <= run.logged_keys()
    assert all(key.count(".") == 1 for key in run.logged_keys() if key.startswith("gdro/q/"))


def test_the_factor_that_a_method_is_told_of_changes_training_only_if_it_uses_it(runs: list[RecordedRun]) -> None:
    for method in ("stdm", "gdro"):
        for factor in ("texture", "bg_color"):
            main(["--smoke", "--method", method, "--explicit", factor])
    losses = [run.series("train/loss") for run in runs]
    assert losses[0] == losses[1]
    assert losses[2] != losses[3]


def test_a_test_set_without_a_majority_logs_nan(runs: list[RecordedRun]) -> None:
    main(["--smoke", "--test-size", "1", "--seed", "1"])
    (run,) = runs
    assert any(math.isnan(run.summary[f"mmd/{factor}"]) for factor in FACTORS)
    assert not math.isnan(run.summary["test/accuracy"])


def test_conditions_and_their_overrides() -> None:
    one, seven = parse(), parse("--condition", "seven")
    assert one.p == dict.fromkeys(FACTORS, UNBIASED) | {"distractor_color": 0.9}
    assert one.explicit == ["distractor_color"]
    assert (seven.p, seven.explicit) == (dict.fromkeys(FACTORS, 0.7), ["distractor"])
    changed = parse("--p", "0.5", "texture=1", "--explicit", "texture", "bg_color")
    assert changed.p == dict.fromkeys(FACTORS, 0.5) | {"texture": 1.0}
    assert changed.explicit == ["texture", "bg_color"]
    assert parse("--method", "all").method == ["stdm", "gdro"]
    assert parse("--method", "paper", "lnl-variant").method == [*PAPER, "lnl-variant"]


@pytest.mark.parametrize("p", ["1.5", "-0.1", "nan", "textur=0.5", "texture=much"])
def test_an_impossible_bias_is_refused(p: str) -> None:
    with pytest.raises(SystemExit):
        parse("--p", p)


def test_hyperparameters_are_those_of_the_method(runs: list[RecordedRun]) -> None:
    main(["--smoke", "--method", "sd", "--set", "gamma=0.5", "decay=1,2,3,4,5,6,7,8,9,10", "--lr", "1e-3"])
    config = runs[0].settings["config"]
    assert (config["gamma"], config["decay"], config["lr"], config["weight_decay"]) == (0.5, [float(n) for n in range(1, 11)], 1e-3, 1e-5)
    for method, hyper in (("stdm", "eta=1"), ("gdro", "q=1"), ("gdro", "eta=much")):
        with pytest.raises(SystemExit):
            parse("--method", method, "--set", hyper)


def test_training_and_validation_data_are_biased_and_the_others_are_not() -> None:
    problem = biased_mnist_problem(parse("--train-size", "1000", "--test-size", "500", "--cell", "12"))
    splits = (problem.train, problem.validation, problem.oracle, problem.test)
    train_share, validation_share, oracle_share, test_share = (split.majority.mean(axis=0) for split in splits)
    expected = np.full(len(FACTORS), UNBIASED)
    np.testing.assert_allclose(test_share, expected, atol=0.03)
    np.testing.assert_allclose(oracle_share, expected, atol=0.04)
    expected[FACTORS.index("distractor_color")] = 0.9
    np.testing.assert_allclose(train_share, expected, atol=0.03)
    np.testing.assert_allclose(validation_share, expected, atol=0.04)


def test_each_factor_of_the_sets_follows_its_own_p() -> None:
    p = dict(zip(FACTORS, (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9), strict=True))
    problem = biased_mnist_problem(parse("--cell", "12", "--p", *(f"{factor}={share}" for factor, share in p.items())))
    biased = ((problem.train, p), (problem.validation, p))
    for split, shares in (*biased, *((part, dict.fromkeys(FACTORS, UNBIASED)) for part in (problem.oracle, problem.test))):
        for factor, values in zip(FACTORS, split.values.T, strict=True):
            counts = np.bincount((values - split.labels) % 10, minlength=10)
            expected = len(split) * np.array([shares[factor], *[(1 - shares[factor]) / 9] * 9])
            assert stats.chisquare(counts, expected).pvalue > 1e-4, factor


@pytest.mark.parametrize("fold", [0, 4])
def test_no_digit_is_in_two_sets(monkeypatch: pytest.MonkeyPatch, fold: int) -> None:
    """Seen by what every image shows: the pixels of its digit, which the test lays aside while it is painted."""
    seen: list[set[bytes]] = []
    real = mnist.biased_mnist

    def watch(source, p, **options):
        seen.append({digit.tobytes() for digit in source.pixels})
        return real(source, p, **options)

    monkeypatch.setattr(mnist, "biased_mnist", watch)
    problem = biased_mnist_problem(parse("--cell", "12", "--fold", str(fold)))
    train, validation, oracle, test = seen
    assert validation == oracle
    assert not train & validation
    assert not (train | validation) & test
    assert len(train | validation | test) == len(data.mnist_digits().labels) == 5000
    assert [len(split) for split in (problem.train, problem.validation, problem.oracle, problem.test)] == [7000, 1000, 1000, 4000]
    assert np.bincount(problem.test.clusters).tolist() == [4] * 1000


def test_every_digit_is_tested_in_one_fold() -> None:
    tested = [digit.tobytes() for fold in range(data.FOLDS) for digit in data.digits(3, fold).test.pixels]
    assert len(tested) == len(set(tested)) == 5000


CONTROL = ["--cell", "12", "--width", "8", "--train-size", "1000", "--val-size", "100", "--test-size", "400", "--log-level", "light"]
ONE_BIASED = ["--p", "distractor_color=0.95", "--epochs", "2"]


def test_controls_come_out_as_they_must(runs: list[RecordedRun]) -> None:
    """The plain model leans on the bias, the same on balanced batches does not, and one with shuffled labels learns nothing.

    This tiny network can learn the distractors' colour in seconds, and no digit.
    """
    plain, balanced = main([*CONTROL, *ONE_BIASED, "--method", "stdm", "stdm-balanced"])
    (shuffled,) = main([*CONTROL, *ONE_BIASED, "--shuffle-labels"])
    assert plain.factors["distractor_color"].mmd > 60
    assert plain.validation > plain.oracle + 50
    assert balanced.factors["distractor_color"].mmd < plain.factors["distractor_color"].mmd / 3
    for factor in FACTORS:
        error = max(run.summary[f"mmd_error/{factor}"] for run in runs)
        assert abs(shuffled.factors[factor].mmd) < 4 * error + 1
    assert shuffled.accuracy == pytest.approx(10, abs=4)
    assert shuffled.validation == pytest.approx(10, abs=10)
