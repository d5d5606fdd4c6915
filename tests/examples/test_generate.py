"""The painter: what lies over what, against an independent painter, at several sizes."""

import itertools

import numpy as np
import pytest
from trackbridge_examples.bias.contact_sheet import write_contact_sheet
from trackbridge_examples.bias.factors import (
    BG_COLORS,
    CELLS,
    DIGIT_COLORS,
    DISTRACTOR_COLORS,
    DISTRACTORS,
    FACTORS,
    TEXTURE_COLORS,
    TEXTURES,
)
from trackbridge_examples.bias.generate import (
    CHUNK,
    area_weights,
    arrangements,
    biased_mnist,
    digit_masks,
    distractor_mask,
    paint,
    texture_quarters,
)
from trackbridge_examples.data import Images, mnist_digits


@pytest.fixture(scope="module")
def digits() -> Images:
    everything = mnist_digits()
    return everything.take(np.arange(0, 5000, 50))


def painted_one_by_one(digit: np.ndarray, values: dict[str, int], cell: int) -> np.ndarray:
    """Layer over layer, cell by cell, in floating point: the definition, slowly."""
    shape = distractor_mask(DISTRACTORS[values["distractor"]], cell)
    texture = texture_quarters(TEXTURES[values["texture"]], cell)[..., None] / 4
    image = np.zeros((3 * cell, 3 * cell, 3))
    for number in range(9):
        patch = np.tile(BG_COLORS[values["bg_color"]].astype(float), (cell, cell, 1))
        if number != CELLS[values["digit_cell_number"]]:
            patch[shape] = DISTRACTOR_COLORS[values["distractor_color"]]
        patch = patch * (1 - texture) + TEXTURE_COLORS[values["texture_color"]] * texture
        if number == CELLS[values["digit_cell_number"]]:
            patch[digit] = DIGIT_COLORS[values["digit_color"]]
        top, left = number // 3 * cell, number % 3 * cell
        image[top : top + cell, left : left + cell] = patch
    return np.floor(image).astype(np.uint8)


@pytest.mark.parametrize("cell", [12, 15, 16, 32])
def test_images_are_those_of_an_independent_painter(digits: Images, cell: int) -> None:
    values = np.random.default_rng(cell).integers(0, 10, (len(digits.labels), len(FACTORS)))
    masks = digit_masks(digits.pixels, cell)
    images = paint(masks, values)
    for image, mask, row in zip(images, masks, values.tolist(), strict=True):
        np.testing.assert_array_equal(image, painted_one_by_one(mask, dict(zip(FACTORS, row, strict=True)), cell))


def test_the_digit_is_never_covered_and_alone_in_its_cell(digits: Images) -> None:
    values = np.random.default_rng(0).integers(0, 10, (len(digits.labels), len(FACTORS)))
    masks = digit_masks(digits.pixels, 16)
    for image, mask, row in zip(paint(masks, values), masks, values, strict=True):
        down, across = divmod(CELLS[row[FACTORS.index("digit_cell_number")]], 3)
        patch = image[16 * down : 16 * down + 16, 16 * across : 16 * across + 16]
        assert (patch[mask] == DIGIT_COLORS[row[0]]).all()
        layers = arrangements(16)[row[4], row[5], 3 * down + across]
        assert (layers[16 * down : 16 * down + 16, 16 * across : 16 * across + 16] < 8).all()


def test_more_images_than_one_chunk_are_painted_alike(digits: Images) -> None:
    count = 2 * CHUNK + 7
    masks = np.repeat(digit_masks(digits.pixels[:1], 12), count, axis=0)
    values = np.repeat(np.arange(7)[None], count, axis=0)
    images = paint(masks, values)
    assert (images == images[0]).all()


@pytest.mark.parametrize("cell", [12, 16, 27, 32, 54])
def test_all_shapes_textures_and_digits_can_be_told_apart(digits: Images, cell: int) -> None:
    for masks in (
        [distractor_mask(name, cell) for name in DISTRACTORS],
        [texture_quarters(glyph, cell) for glyph in TEXTURES],
        digit_masks(digits.pixels, cell),
    ):
        assert all((first != second).any() for first, second in itertools.combinations(masks, 2))
    assert all(distractor_mask(name, cell).any() for name in DISTRACTORS)


def test_distractors_leave_a_quarter_of_the_cell_free_on_every_side() -> None:
    for name in DISTRACTORS:
        mask = distractor_mask(name, 32)
        assert mask.sum() == mask[8:24, 8:24].sum() > 0


def test_texture_covers_about_the_same_share_of_small_and_large_images() -> None:
    shares = [np.mean([texture_quarters(glyph, cell) for glyph in TEXTURES]) / 4 for cell in (16, 32, 64)]
    assert max(shares) < 1.2 * min(shares)


def test_cells_too_small_for_the_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 12"):
        arrangements(11)


def test_area_weights_average_whole_and_partial_pixels() -> None:
    np.testing.assert_allclose(area_weights(3, 2), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]], rtol=1e-6)
    np.testing.assert_allclose(area_weights(2, 4), [[1, 0], [1, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(area_weights(28, 16).sum(axis=1), 1, rtol=1e-6)


def test_a_data_set_repeats_every_digit_and_is_decided_by_its_seed(digits: Images) -> None:
    p = dict.fromkeys(FACTORS, 0.7)
    first, again, other = (biased_mnist(digits, p, repeats=3, cell=12, rng=np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.bincount(first.labels).tolist() == [30] * 10
    for mine, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(mine, same)
    assert (first.values != other.values).any()


def test_the_contact_sheet_shows_nine_rows_of_ten(tmp_path) -> None:
    from PIL import Image

    write_contact_sheet(tmp_path / "sheet.png", seed=0)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (150 + 10 * 102, 9 * 102 + 6)
        pixels = np.asarray(sheet)
    background = pixels[6 + 2 * 102 + 1, 151::102][:10]  # a corner of each image in the row of bg_color
    np.testing.assert_array_equal(background, BG_COLORS)
