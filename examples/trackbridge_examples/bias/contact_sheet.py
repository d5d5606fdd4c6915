"""A picture of the factors: a row for each, in which nothing else changes, then all biased and unbiased images."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from trackbridge_examples.bias.factors import FACTORS, UNBIASED, VALUES, sample_values
from trackbridge_examples.bias.generate import digit_masks, paint
from trackbridge_examples.data import mnist_digits

CELL = 32
MARGIN, GAP = 150, 6  # pixels for the rows' names, and between images
REFERENCE = 0  # the value of the factors that a row does not show


def write_contact_sheet(path: Path, seed: int) -> None:
    """Writes the sheet as a PNG of nine rows and ten columns."""
    rng = np.random.default_rng(seed)
    digits = mnist_digits()
    labels = np.arange(VALUES)
    one_of_each = digit_masks(np.stack([digits.pixels[rng.choice(np.flatnonzero(digits.labels == k))] for k in labels]), CELL)

    rows = []
    for index, factor in enumerate(FACTORS):
        values = np.full((VALUES, len(FACTORS)), REFERENCE)
        values[:, index] = labels
        rows.append((factor, paint(np.repeat(one_of_each[3:4], VALUES, axis=0), values)))
    rows.append(("all biased (p = 1)", paint(one_of_each, sample_values(labels, dict.fromkeys(FACTORS, 1.0), rng))))
    rows.append(("unbiased (p = 0.1)", paint(one_of_each, sample_values(labels, dict.fromkeys(FACTORS, UNBIASED), rng))))

    pitch = 3 * CELL + GAP
    sheet = Image.new("RGB", (MARGIN + VALUES * pitch, len(rows) * pitch + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, images) in enumerate(rows):
        top = GAP + row * pitch
        draw.text((GAP, top + pitch // 2 - GAP), name, fill="black")
        for column, pixels in enumerate(images):
            sheet.paste(Image.fromarray(pixels), (MARGIN + column * pitch, top))
    sheet.save(path)
