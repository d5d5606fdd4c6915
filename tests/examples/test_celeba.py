"""CelebA from a miniature folder of the official layout."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trackbridge_examples.bias.celeba import SOURCE, celeba_problem, make_resnet
from trackbridge_examples.bias.options import parse
from trackbridge_examples.bias.train import main

from .conftest import RecordedRun

PEOPLE = [(blond, male) for blond in (0, 1) for male in (0, 1) for _ in range(9)]  # of each group six to train, two, and one to test
PARTITION = [0, 0, 0, 0, 0, 0, 1, 1, 2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """36 photos of 178x218 pixels, grey but for a square in the middle: red if blond, and of a green that tells who it is."""
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    attributes, partition = ["36", "5_o_Clock_Shadow Blond_Hair Male Young"], []
    for number, (blond, male) in enumerate(PEOPLE):
        name = f"{number + 1:06}.jpg"
        pixels = np.full((218, 178, 3), 128, np.uint8)
        pixels[20:198] = (255 * blond, 7 * number, 0)
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name, quality=95)
        attributes.append(f"{name} -1 {'1' if blond else '-1':>2} {'1' if male else '-1':>2}  1")
        partition.append(f"{name} {PARTITION[number % 9]}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (folder / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    return folder


def arguments(root: Path, *more: str) -> argparse.Namespace:
    return parse(["--dataset", "celeba", "--root", str(root), "--size", "32", *more], None)


def test_the_partitions_labels_and_groups_are_the_files(root: Path) -> None:
    problem = celeba_problem(arguments(root))
    assert [len(split) for split in (problem.train, problem.validation, problem.test)] == [24, 8, 4]
    for split in (problem.train, problem.validation, problem.test):
        pixels = split.pixels[np.arange(len(split))]
        assert pixels.shape == (len(split), 32, 32, 3)
        who = np.rint(pixels[:, 16, 16, 1] / 7).astype(int)
        np.testing.assert_array_equal(pixels[:, 16, 16, 0] > 128, split.labels == 1)
        assert [PEOPLE[number] for number in who] == list(zip(split.labels.tolist(), split.values[:, 0].tolist(), strict=True))
        np.testing.assert_array_equal(split.majority[:, 0], [PEOPLE[number] != (1, 1) for number in who])
        assert np.bincount(split.groups).tolist() == [len(split) // 4] * 4
    assert problem.oracle is problem.validation


def test_a_photo_is_its_middle_square(root: Path) -> None:
    split = celeba_problem(arguments(root)).train
    pixels = split.pixels[np.array([0])][0].astype(int)
    assert (abs(pixels - pixels[16, 16]) < 40).all(), "no grey of above and below the square"


def test_sizes_limit_the_photos_and_the_seed_draws_them(root: Path) -> None:
    small = [celeba_problem(arguments(root, "--train-size", "5", "--seed", seed)).train for seed in "001"]
    names = [part.pixels.names.tolist() for part in small]
    assert len(names[0]) == 5
    assert names[0] == names[1] != names[2]


def test_the_network_is_resnet_18() -> None:
    network = make_resnet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_689_512 - 998 * 513
    assert network[-1].out_features == 2


@pytest.mark.parametrize("method", ["stdm", "irmv1"])
def test_a_run_logs_the_four_groups(root: Path, runs: list[RecordedRun], method: str) -> None:
    argv = ["--dataset", "celeba", "--root", str(root), "--smoke", "--method", method, "--size", "32", "--batch-size", "8"]
    (result,) = main(argv)
    (run,) = runs
    config = run.settings["config"]
    assert (config["dataset"], config["explicit"], config["groups"], config["lr"]) == (
        "CelebA",
        ["gender"],
        4,
        {"stdm": 1e-3}.get(method, 1e-4),
    )
    groups = run.table("groups")
    assert [row[:4] for row in groups] == [["gender", gender, blond, 1] for gender in (0, 1) for blond in (0, 1)]
    assert run.summary["test/accuracy"] == result.accuracy == pytest.approx(sum(row[4] for row in groups) / 4)
    assert run.summary["accuracy/gender/minority"] == groups[3][4]
    assert len(run.series("train/loss")) == 3


def test_without_the_files_it_says_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=SOURCE):
        main(["--dataset", "celeba"])
    with pytest.raises(SystemExit, match=r"lacks list_attr_celeba\.txt, list_eval_partition\.txt, img_align_celeba.*" + SOURCE):
        main(["--dataset", "celeba", "--root", str(tmp_path)])


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("list_attr_celeba.txt", "1\nBlond_Hair Young\n000001.jpg 1 1\n", "not the official file"),
        ("list_attr_celeba.txt", "36\nBlond_Hair Male\n000001.jpg 1 1\n", "not the official file"),
        ("list_attr_celeba.txt", "", "not the official file"),
        ("list_eval_partition.txt", "000001.jpg 0\n", "says nothing of 000002.jpg"),
    ],
)
def test_a_broken_file_is_named(root: Path, name: str, content: str, complaint: str) -> None:
    (root / name).write_text(content)
    with pytest.raises(SystemExit, match=f"{name}.*{complaint}"):
        main(["--dataset", "celeba", "--root", str(root)])


@pytest.mark.parametrize("option", [["--p", "0.5"], ["--explicit", "texture"], ["--trial", "2"], ["--condition", "seven"], ["--fold", "1"]])
def test_what_only_biased_mnist_has_is_refused(option: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--dataset", "celeba", *option], None)
