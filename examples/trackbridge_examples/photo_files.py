"""Photos in a folder of the user's."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Photos:
    """Photos on disk, of which the middle square is resized to ``[b, size, size, 3]`` when it is asked for."""

    def __init__(self, folder: Path, names: NDArray[np.str_], size: int) -> None:
        self.folder = folder
        self.names = names
        self.size = size

    def __getitem__(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([self._read(name) for name in self.names[index]])

    def _read(self, name: str) -> NDArray[np.uint8]:
        with Image.open(self.folder / name) as photo:
            width, height = photo.size
            side = min(width, height)
            left, top = (width - side) // 2, (height - side) // 2
            square = photo.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        return np.asarray(square)
