"""A task in colour: which of ten photos is this patch from?

The photos ship inside scikit-image and scikit-learn.  Each is cut into tiles, some for training and some for the
test, so that the two share no pixel.  This shows what colour images cost; it shows nothing of a network's accuracy,
because a histogram of colours with a linear classifier does as well (``histogram_accuracy``).
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from trackbridge_examples.data import Dataset, DatasetUnavailable, Images

PHOTOS = {  # the package's folder, and the photos in it
    "skimage/data": (
        "astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
}  # fmt: skip
PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}
TILE, PATCH = 96, 64  # pixels
TEST_EVERY = 4  # of the diagonals of tiles
TRAIN_PATCHES, TEST_PATCHES = 400, 100  # of each photo
BINS = 6  # of each colour


def photo_patches(seed: int) -> Dataset:
    """4,000 training and 1,000 test patches of 64x64 pixels from ten photos."""
    return cut({name: np.asarray(Image.open(path).convert("RGB")) for name, path in find_photos().items()}, seed)


def find_photos() -> dict[str, Path]:
    """Where the photos are, by name."""
    found: dict[str, Path] = {}
    for folder, names in PHOTOS.items():
        package, _, inside = folder.partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise DatasetUnavailable(f"some of the photos ship inside {PACKAGES[package]}: pip install --no-deps {PACKAGES[package]}")
        for name in names:
            path = Path(spec.submodule_search_locations[0], inside, name)
            if not path.is_file():
                raise DatasetUnavailable(f"the installed {PACKAGES[package]} has no {inside}/{name}; scikit-image 0.26 has its photos")
            found[path.stem] = path
    return found


def cut(photos: Mapping[str, NDArray[np.uint8]], seed: int) -> Dataset:
    """Patches from photos ``[h, w, 3]`` of at least a tile: training and test patches lie in different tiles."""
    rng = np.random.default_rng(seed)
    parts: list[Images] = []
    for test, count in ((False, TRAIN_PATCHES), (True, TEST_PATCHES)):
        pixels = [_draw(photo, test, count, rng) for photo in photos.values()]
        parts.append(Images(np.concatenate(pixels), np.repeat(np.arange(len(photos)), count)))
    return Dataset("photo patches (scikit-image, scikit-learn)", tuple(photos), parts[0], parts[1])


def _draw(photo: NDArray[np.uint8], test: bool, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Patches ``[count, 64, 64, 3]``, each inside one of the tiles for training or of those for the test."""
    rows, columns = np.indices((photo.shape[0] // TILE, photo.shape[1] // TILE))
    tiles = np.argwhere(((rows + columns) % TEST_EVERY == 0) == test)
    corners = TILE * tiles[rng.integers(len(tiles), size=count)] + rng.integers(TILE - PATCH + 1, size=(count, 2))
    return np.stack([photo[top : top + PATCH, left : left + PATCH] for top, left in corners])


def histogram_accuracy(dataset: Dataset) -> float:
    """Test accuracy in percent of logistic regression on 6x6x6 colour histograms."""
    train, test = (torch.from_numpy(colour_histograms(part.pixels)) for part in (dataset.train, dataset.test))
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    labels = torch.from_numpy(dataset.train.labels)
    weights = torch.zeros(train.shape[1] + 1, len(dataset.classes), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def logits(features: torch.Tensor) -> torch.Tensor:
        return (features - mean) / deviation @ weights[:-1] + weights[-1]

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(logits(train), labels) + 1e-3 * weights[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(step)
    predictions = logits(test).argmax(1).numpy()
    return 100.0 * float((predictions == dataset.test.labels).mean())


def colour_histograms(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The share of the pixels of each image ``[n, h, w, 3]`` in each of 216 bins: ``[n, 216]``."""
    bins = pixels.reshape(len(pixels), -1, 3).astype(np.int64) * BINS // 256
    index = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
    counts = [np.bincount(image, minlength=BINS**3) for image in index]
    return (np.stack(counts) / index.shape[1]).astype(np.float32)
