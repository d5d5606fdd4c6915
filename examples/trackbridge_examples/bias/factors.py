"""The seven bias factors of Biased MNIST (arXiv 2104.00170, version 1 of the data set), and how their values are drawn.

Every factor has ten values.  Value ``i`` is the *biased* value of digit ``i``: in a biased set most images of a 3 carry
value 3 of a factor.  An image's factors are a row of seven value indices in the order of ``FACTORS``.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

VALUES = 10
UNBIASED = 1 / VALUES

FACTORS = ("digit_color", "texture_color", "bg_color", "distractor_color", "distractor", "texture", "digit_cell_number")

DIGIT_COLORS = np.array(
    [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 0),
        (0, 255, 255),
        (255, 0, 255),
        (128, 255, 0),
        (128, 0, 255),
        (0, 128, 255),
        (0, 255, 128),
    ],
    dtype=np.uint8,
)
TEXTURE_COLORS = 255 - DIGIT_COLORS
BG_COLORS = TEXTURE_COLORS // 4
DISTRACTOR_COLORS = DIGIT_COLORS[::-1]
DISTRACTORS = (
    "circle",
    "right triangle",
    "obtuse triangle",
    "square",
    "parallelogram",
    "kite",
    "pentagon",
    "semicircle",
    "plus",
    "arrow",
)
TEXTURES = ("-", "/", "|", "+", "x", "~", "::", ">", "<", "\\")
CELLS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 4)  # row * 3 + column; digits 4 and 9 share the centre


def sample_values(labels: NDArray[np.int64], p: Mapping[str, float], rng: np.random.Generator) -> NDArray[np.int64]:
    """Value indices ``[n, 7]`` for images of digits ``labels`` ``[n]``.

    Each factor is drawn independently: with probability ``p[factor]`` the value of the label, else one of the *other
    nine*, all equally likely; so p = 0.1 is the unbiased distribution.
    """
    chance = np.array([p[factor] for factor in FACTORS])
    shape = (len(labels), len(FACTORS))
    away = np.where(rng.random(shape) < chance, 0, rng.integers(1, VALUES, shape))
    return (labels[:, None] + away) % VALUES
