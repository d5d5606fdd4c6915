"""Paints Biased MNIST: a 3x3 grid of cells, a digit in one, distractors in the others, a texture over all.

Four layers, each in one colour, lie over each other: background, distractors, texture and, never covered, the digit.
The first three have 10 shapes x 10 textures x 9 digit cells = 900 arrangements, drawn once; an image is one of them,
the digit's mask, and a palette.  Images are RGB, ``uint8``, ``[n, 3 * cell, 3 * cell, 3]``.  The original data set
has 32-pixel cells; any size from 12 pixels works.  The pens that write textures are 1/32 of a cell wide, so below
32 pixels they cover parts of pixels and are blended in by that share: a small image is as busy as a large one.
"""

import itertools
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trackbridge_examples.bias.factors import (
    BG_COLORS,
    CELLS,
    DIGIT_COLORS,
    DISTRACTOR_COLORS,
    DISTRACTORS,
    FACTORS,
    TEXTURE_COLORS,
    TEXTURES,
    sample_values,
)
from trackbridge_examples.data import Images

Mask: TypeAlias = NDArray[np.bool_]
Point = tuple[float, float]

GRID = 3
LEAST_CELL = 12  # pixels
# A pixel's index into its palette: background 0..4 or distractor 8..12, under 0..4 quarters of texture; 15 digit.
QUARTERS, DISTRACTOR, DIGIT = 4, 8, 15
CHUNK = 500  # images painted at once: bounds the memory that painting takes beside its result


class BiasedImages(NamedTuple):
    """Images of digits and everything that is known about them."""

    pixels: NDArray[np.uint8]  # [n, 3 * cell, 3 * cell, 3]
    labels: NDArray[np.int64]  # [n]
    values: NDArray[np.int64]  # [n, 7], see factors.FACTORS
    sources: NDArray[np.int64]  # [n], which digit is shown


def biased_mnist(digits: Images, p: Mapping[str, float], *, repeats: int, cell: int, rng: np.random.Generator) -> BiasedImages:
    """Every digit painted ``repeats`` times, with factors drawn anew each time, in a random order."""
    index = rng.permutation(np.repeat(np.arange(len(digits.labels)), repeats))
    labels = digits.labels[index]
    values = sample_values(labels, p, rng)
    return BiasedImages(paint(digit_masks(digits.pixels, cell)[index], values), labels, values, index)


def paint(digits: Mask, values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The images of digit masks ``[n, cell, cell]`` with factors ``values`` ``[n, 7]``."""
    count, cell = digits.shape[:2]
    side = GRID * cell
    pixels = np.empty((count, side, side, 3), np.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, start + CHUNK)
        layers = _layers(digits[chunk], values[chunk])
        palette = _palette(values[chunk])
        colors = np.take_along_axis(palette, layers.reshape(len(layers), -1, 1), axis=1)
        pixels[chunk] = colors.reshape(-1, side, side, 3)
    return pixels


def _layers(digits: Mask, values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Each pixel's index into the palette, ``[n, 3 * cell, 3 * cell]``."""
    count, cell = digits.shape[:2]
    position = np.array(CELLS)[values[:, FACTORS.index("digit_cell_number")]]
    shape, texture = values[:, FACTORS.index("distractor")], values[:, FACTORS.index("texture")]
    layers: NDArray[np.uint8] = arrangements(cell)[shape, texture, position]
    cells = layers.reshape(count, GRID, cell, GRID, cell)
    cells[np.arange(count), position // GRID, :, position % GRID] |= digits.astype(np.uint8) * DIGIT
    return layers


def _palette(values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Each image's colours, ``[n, 16, 3]``."""

    def colors(table: NDArray[np.uint8], factor: str) -> NDArray[np.int64]:
        return table[values[:, FACTORS.index(factor)]].astype(np.int64)

    palette: NDArray[np.uint8] = np.zeros((len(values), DIGIT + 1, 3), np.uint8)
    texture = colors(TEXTURE_COLORS, "texture_color")
    for first, below in (
        (0, colors(BG_COLORS, "bg_color")),
        (DISTRACTOR, colors(DISTRACTOR_COLORS, "distractor_color")),
    ):
        for share in range(QUARTERS + 1):
            palette[:, first + share] = (below * (QUARTERS - share) + texture * share) // QUARTERS
    palette[:, DIGIT] = colors(DIGIT_COLORS, "digit_color")
    return palette


@lru_cache(maxsize=4)
def arrangements(cell: int) -> NDArray[np.uint8]:
    """All but the digit, by shape, texture and the digit's cell: ``[10, 10, 9, 3 * cell, 3 * cell]``."""
    if cell < LEAST_CELL:
        raise ValueError(f"a cell has at least {LEAST_CELL} pixels, not {cell}: in fewer, shapes look alike")
    textures = np.stack([np.tile(texture_quarters(glyph, cell), (GRID, GRID)) for glyph in TEXTURES])
    shapes = np.stack([np.tile(distractor_mask(name, cell), (GRID, GRID)) for name in DISTRACTORS])
    elsewhere: Mask = np.ones((GRID * GRID, GRID, cell, GRID, cell), bool)  # every cell but the digit's
    for position in range(GRID * GRID):
        elsewhere[position, position // GRID, :, position % GRID] = False
    distractors = shapes[:, None] & elsewhere.reshape(GRID * GRID, GRID * cell, GRID * cell)
    result = textures[None, :, None] | DISTRACTOR * distractors[:, None].astype(np.uint8)
    result.flags.writeable = False  # the cache hands out one array
    return result


def digit_masks(pixels: NDArray[np.uint8], cell: int) -> Mask:
    """Digits ``[n, 28, 28]`` resized by area to ``[n, cell, cell]`` and cut at half, or lower for thin strokes."""
    resize = area_weights(pixels.shape[1], cell)
    threshold = 127 if cell >= pixels.shape[1] else 90
    rows = resize @ pixels.astype(np.float32)
    return np.asarray(rows @ resize.T > threshold)


def area_weights(source: int, target: int) -> NDArray[np.float32]:
    """``[target, source]``: the share that each source pixel has in each target pixel along one axis; rows sum to 1."""
    edges = np.arange(target + 1) * source / target
    pixel = np.arange(source)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (overlap.clip(0) * target / source).astype(np.float32)


def distractor_mask(name: str, cell: int) -> Mask:
    """A shape in the middle half of its cell: drawn four times too large, averaged, and cut at half."""
    scale = 4
    canvas = Image.new("L", (scale * cell, scale * cell))
    corner, size = scale * cell / 4, scale * cell / 2 - 1
    ImageDraw.Draw(canvas).polygon([(corner + x * size, corner + y * size) for x, y in _outline(name)], fill=255)
    return np.asarray(canvas.reduce(scale)) >= 128


def texture_quarters(glyph: str, cell: int) -> NDArray[np.uint8]:
    """How many quarters of each pixel the glyphs of one cell cover, two by two of them: ``[cell, cell]``."""
    radius, half_width = cell / 8, cell / 64
    y, x = np.indices((cell, cell))
    centres = itertools.product((cell // 4, 3 * cell // 4), repeat=2)
    around = [((x - across) / radius, (y - down) / radius) for across, down in centres]
    distances = [_distance(*points, *ends) for points in around for ends in _strokes(glyph)]
    distance = radius * np.min(distances, axis=0)
    share = np.clip(half_width + 0.5 - distance, 0, min(1, 2 * half_width))
    quarters: NDArray[np.uint8] = np.rint(QUARTERS * share).astype(np.uint8)
    return quarters


def _distance(x: NDArray[np.float64], y: NDArray[np.float64], start: Point, stop: Point) -> NDArray[np.float64]:
    """From every point to the line between two points, which may be one and the same."""
    dx, dy = stop[0] - start[0], stop[1] - start[1]
    length = dx * dx + dy * dy
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / length, 0, 1) if length else 0.0
    return np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)


def _outline(name: str) -> list[Point]:
    """A distractor's corners in the unit square, x to the right, y downward."""
    outlines: dict[str, list[Point]] = {
        "circle": _arc(0.5, 0.5, 0.5, 0, 360, 48),
        "right triangle": [(0, 0), (1, 1), (0, 1)],
        "obtuse triangle": [(1, 0.1), (0.5, 0.9), (0, 0.9)],
        "square": [(0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95)],
        "parallelogram": [(0.35, 0.2), (1, 0.2), (0.65, 0.8), (0, 0.8)],
        "kite": [(0.5, 0), (0.9, 0.35), (0.5, 1), (0.1, 0.35)],
        "pentagon": _arc(0.5, 0.52, 0.52, -90, 270, 5),
        "semicircle": _arc(0.5, 0.75, 0.5, 180, 361, 25),
        "plus": [
            (0.33, 0), (0.67, 0), (0.67, 0.33), (1, 0.33), (1, 0.67), (0.67, 0.67),
            (0.67, 1), (0.33, 1), (0.33, 0.67), (0, 0.67), (0, 0.33), (0.33, 0.33),
        ],
        "arrow": [(0, 0.35), (0.5, 0.35), (0.5, 0.05), (1, 0.5), (0.5, 0.95), (0.5, 0.65), (0, 0.65)],
    }  # fmt: skip
    return outlines[name]


def _arc(x: float, y: float, radius: float, start: float, stop: float, corners: int) -> list[Point]:
    """Points on a circle, clockwise from ``start`` (0 is to the right, in degrees) up to, not including, ``stop``."""
    angles = [math.radians(start + (stop - start) * k / corners) for k in range(corners)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _strokes(glyph: str) -> list[tuple[Point, Point]]:
    """The straight lines of a texture's glyph, in the square from -1 to 1, x to the right, y downward."""
    strokes: dict[str, list[tuple[Point, Point]]] = {
        "-": [((-1, 0), (1, 0))],
        "/": [((-1, 1), (1, -1))],
        "|": [((0, -1), (0, 1))],
        "+": [((-1, 0), (1, 0)), ((0, -1), (0, 1))],
        "x": [((-1, 1), (1, -1)), ((-1, -1), (1, 1))],
        "~": [((-1, 0.5), (-0.5, -0.5)), ((-0.5, -0.5), (0.5, 0.5)), ((0.5, 0.5), (1, -0.5))],
        "::": [((x, y), (x, y)) for x in (-0.5, 0.5) for y in (-0.5, 0.5)],
        ">": [((-1, -1), (1, 0)), ((1, 0), (-1, 1))],
        "<": [((1, -1), (-1, 0)), ((-1, 0), (1, 1))],
        "\\": [((-1, -1), (1, 1))],
    }
    return strokes[glyph]
