"""The data sets of the EfficientNet experiment that come from photos and folders."""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from trackbridge_examples.data import Dataset, DatasetUnavailable, Images
from trackbridge_examples.efficientnet import photos, tasks
from trackbridge_examples.efficientnet.train import main

from .conftest import RecordedRun


def coded_photo(number: int, rows: int = 4, columns: int = 5) -> NDArray[np.uint8]:
    """A photo whose red tells its number and whose green tells the tile."""
    row, column = np.indices((rows * photos.TILE + 7, columns * photos.TILE + 50)) // photos.TILE
    return np.stack([np.full_like(row, 20 * number), 8 * row + column, 0 * row], axis=-1).astype(np.uint8)


def test_patches_of_training_and_test_lie_in_different_tiles() -> None:
    dataset = photos.cut({"first": coded_photo(1), "second": coded_photo(2)}, seed=3)
    tiles = []
    for part, count, wanted in ((dataset.train, photos.TRAIN_PATCHES, False), (dataset.test, photos.TEST_PATCHES, True)):
        assert part.pixels.shape == (2 * count, 64, 64, 3)
        assert (part.pixels[..., 0] == 20 * (part.labels[:, None, None] + 1)).all()
        codes = part.pixels[..., 1].reshape(2 * count, -1)
        assert (codes.min(1) == codes.max(1)).all()
        tiles.append(set(codes[:, 0].tolist()))
        assert {(code // 8 + code % 8) % 4 == 0 for code in tiles[-1]} == {wanted}
    assert len(tiles[0]) == 15
    assert len(tiles[1]) == 5


def test_another_seed_draws_other_patches() -> None:
    noise = {"noise": np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)}
    first, again, other = (photos.cut(noise, seed).test.pixels for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_colour_histogram_counts_shares() -> None:
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    pixels[0, 0, 0] = (255, 255, 255)
    (histogram,) = photos.colour_histograms(pixels)
    assert histogram[0] == 0.75
    assert histogram[-1] == 0.25
    assert histogram.sum() == 1


def test_the_linear_classifier_tells_colours_apart_but_not_shuffled_labels() -> None:
    dataset = photos.cut({str(number): coded_photo(3 * number) for number in range(4)}, seed=0)
    assert photos.histogram_accuracy(dataset) == 100
    rng = np.random.default_rng(0)
    shuffled = Dataset("shuffled", dataset.classes, Images(dataset.train.pixels, rng.permutation(dataset.train.labels)), dataset.test)
    assert photos.histogram_accuracy(shuffled) < 60


def test_every_table_on_photos_has_the_histograms_row(runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    three = {f"photo {number}": coded_photo(number) for number in range(3)}
    monkeypatch.setattr(tasks, "photo_patches", lambda seed: photos.cut(three, seed))
    main(["--smoke", "--dataset", "photos", "--study", "progressive", "--log-level", "light"])
    *trainings, last = runs
    for run in trainings:
        assert f"baseline/{tasks.HISTOGRAM}" in dict(run.table("results"))
        assert run.settings["config"]["mirrored"]
    name, *_, accuracy, _ = last.table("comparison")[-1]
    assert (name, accuracy) == (tasks.HISTOGRAM, trainings[0].summary[f"baseline/{tasks.HISTOGRAM}"])


def test_missing_photos_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetUnavailable, match="pip install --no-deps scikit-image"):
        photos.find_photos()


def write_cifar(folder: Path, images: int = 4) -> NDArray[np.uint8]:
    records = np.random.default_rng(0).integers(0, 256, (images, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(images) % 10
    for names in tasks.CIFAR_PARTS:
        for name in names:
            records.tofile(folder / name)
    return records


def test_cifar_is_read_from_its_binary_version(tmp_path: Path) -> None:
    records = write_cifar(tmp_path)
    dataset = tasks.cifar_10(tmp_path)
    assert dataset.train.pixels.shape == (20, 32, 32, 3)
    assert dataset.test.pixels.shape == (4, 32, 32, 3)
    assert dataset.test.labels.tolist() == [0, 1, 2, 3]
    assert dataset.test.pixels[2, 5, 7].tolist() == [records[2, 1 + channel * 1024 + 5 * 32 + 7] for channel in range(3)]


@pytest.mark.parametrize("damage", ["cut short", "no label"])
def test_a_damaged_cifar_is_refused(tmp_path: Path, damage: str) -> None:
    write_cifar(tmp_path)
    content = bytearray((tmp_path / "test_batch.bin").read_bytes())
    if damage == "cut short":
        del content[-1]
    else:
        content[0] = 10
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(DatasetUnavailable, match="whole records"):
        tasks.cifar_10(tmp_path)


def write_folders(root: Path) -> None:
    for part, count in (("train", 6), ("val", 3)):
        for number, name in enumerate(("cat", "dog")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (40, 30 + index), (100 * number + 50, 0, 0)).save(root / part / name / f"{index}.png")
            (root / part / name / "notes.txt").write_text("no image")


def test_image_folders_are_sampled_and_resized(tmp_path: Path) -> None:
    write_folders(tmp_path)
    dataset = tasks.image_folders(tmp_path, size=16, train=7, test=100, seed=0)
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.pixels.shape == (7, 16, 16, 3)
    assert dataset.test.pixels.shape == (6, 16, 16, 3)
    for part in (dataset.train, dataset.test):
        assert (part.pixels[..., 0] == (100 * part.labels + 50)[:, None, None]).all()


def test_image_folders_that_lack_something_name_the_layout(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailable, match="train/CLASS/IMAGE"):
        tasks.image_folders(tmp_path, 16, 1, 1, 0)
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "val").mkdir()
    with pytest.raises(DatasetUnavailable, match="no images"):
        tasks.image_folders(tmp_path, 16, 1, 1, 0)


def test_a_folder_is_trained_on(runs: list[RecordedRun], tmp_path: Path) -> None:
    write_folders(tmp_path)
    main(["--smoke", "--dataset", "imagenet", "--root", str(tmp_path), "--batch-size", "4", "--log-level", "light"])
    assert runs[0].settings["config"]["train_images"] == 12
    assert "root" not in runs[0].settings["config"]


def test_sizes_limit_what_is_loaded() -> None:
    args = argparse.Namespace(dataset="digits", seed=0, train_size=30, test_size=20)
    task = tasks.load(args)
    assert (len(task.dataset.train.labels), len(task.dataset.test.labels)) == (30, 20)
