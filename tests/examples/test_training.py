"""What the scripts share."""

import argparse
from typing import Any

import numpy as np
import pytest
from trackbridge_examples import training
from trackbridge_examples.bias import options as bias
from trackbridge_examples.bias.train import main as train_bias
from trackbridge_examples.efficientnet import options as efficientnet
from trackbridge_examples.efficientnet.train import main as train_efficientnet
from trackbridge_examples.madgrad import options as madgrad
from trackbridge_examples.madgrad.command import main as train_madgrad

import trackbridge


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=training.positive, default=6)
    parser.add_argument("--size", type=training.positive, default=100)
    return training.parse_with_presets(parser, {"quick": {"epochs": 2}, "smoke": {"epochs": 1, "size": 5}}, argv)


@pytest.mark.parametrize(
    ("argv", "preset", "epochs", "size"),
    [
        ([], "full", 6, 100),
        (["--quick"], "quick", 2, 100),
        (["--smoke"], "smoke", 1, 5),
        (["--smoke", "--size", "7"], "smoke", 1, 7),
        (["--size", "7", "--smoke"], "smoke", 1, 7),
    ],
)
def test_presets_change_defaults_and_given_options_win(argv: list[str], preset: str, epochs: int, size: int) -> None:
    args = parse(argv)
    assert (args.preset, args.epochs, args.size) == (preset, epochs, size)


@pytest.mark.parametrize("argv", [["--quick", "--smoke"], ["--epochs", "0"], ["--size", "-3"]])
def test_contradictions_and_counts_below_one_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(argv)


def test_an_image_grid_goes_left_to_right_with_white_gaps() -> None:
    images = np.arange(1, 4, dtype=np.uint8)[:, None, None, None] * np.ones((3, 2, 2, 3), np.uint8)
    sheet = training.image_grid(images, columns=2, gap=1)
    expected = [
        [255, 255, 255, 255, 255, 255, 255],
        [255, 1, 1, 255, 2, 2, 255],
        [255, 1, 1, 255, 2, 2, 255],
        [255, 255, 255, 255, 255, 255, 255],
        [255, 3, 3, 255, 255, 255, 255],
        [255, 3, 3, 255, 255, 255, 255],
        [255, 255, 255, 255, 255, 255, 255],
    ]
    np.testing.assert_array_equal(sheet, np.repeat(np.array(expected)[:, :, None], 3, axis=2))


def test_a_confusion_table_counts_true_classes_by_row() -> None:
    table = training.confusion_table(np.array([0, 0, 1]), np.array([0, 1, 1]), ["cat", "dog"]).content().inline
    assert table == {"columns": ["true class", "cat", "dog"], "rows": [["cat", 1, 1], ["dog", 0, 1]]}


@pytest.mark.parametrize("example", [bias, efficientnet, madgrad])
@pytest.mark.parametrize("option", [["--seed", "-1"], ["--seed", "4294967296"], ["--lr", "-1"], ["--lr", "nan"]])
def test_an_option_that_cannot_be_is_refused_before_anything_runs(
    example: Any, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        example.parse(["--smoke", *option], None)
    assert end.value.code == 2
    assert f"argument {option[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--p", "abc"], "'abc' is no bias: give 0.5 for all factors, texture=0.9 for one"),
        (["--set", "eta"], "'eta' is no hyperparameter: give one like eta=0.1"),
        (["--cell", "2"], "--cell is at least 12: in fewer pixels, shapes look alike"),
        (["--weight-decay", "-3"], "at least 0, not -3"),
    ],
)
def test_an_option_of_the_bias_experiments_that_cannot_be_names_the_remedy(
    option: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bias.parse(option, None)
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("main", [train_bias, train_efficientnet, train_madgrad])
def test_a_batch_that_no_data_fill_is_refused_before_a_run_begins(main: Any) -> None:
    with pytest.raises(SystemExit, match="training images fill no batch of 100000: take a smaller --batch-size, or more images"):
        main(["--smoke", "--batch-size", "100000"])
    assert list(trackbridge.runs()) == []
