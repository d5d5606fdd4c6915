"""What happens to images before the network sees them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trackbridge_examples.efficientnet.augment import mirror, mixup, network_input, rand_augment, with_channels


def test_input_is_bordered_in_black_and_scaled() -> None:
    images = network_input(np.full((2, 28, 28), 255, np.uint8))
    assert images.shape == (2, 3, 32, 32)
    assert images[0, 0, 0, 0] == images[1, 2, 31, 1] == -1
    assert (images[:, :, 2:30, 2:30] == 1).all()
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert network_input(np.zeros((1, 28, 28), np.uint8), layout="nchw").is_contiguous()


@pytest.mark.parametrize("size", [16, 24, 40])
def test_input_of_another_size_is_resized_and_keeps_its_colours(size: int) -> None:
    colours = np.broadcast_to(np.array([0, 51, 255], np.uint8), (1, 64, 64, 3))
    images = network_input(colours, size)
    assert images.shape == (1, 3, size, size)
    torch.testing.assert_close(images[0].mean((1, 2)), torch.tensor([-1.0, -0.6, 1.0]), atol=1e-5, rtol=0)


def test_halving_the_size_averages() -> None:
    """Antialiasing: a fine checkerboard becomes grey, away from its edges."""
    board = (255 * (np.indices((64, 64)).sum(0) % 2)).astype(np.uint8)[None]
    middle = network_input(board, 16)[0, 0, 4:-4, 4:-4]
    assert middle.abs().max() < 0.02


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), colour=st.booleans())
def test_mirroring_exchanges_left_and_right_of_some_images(seed: int, colour: bool) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (30, 4, 5, *([3] if colour else [])), dtype=np.uint8)
    mirrored = mirror(pixels, np.random.default_rng(seed))
    same = [np.array_equal(new, old) for new, old in zip(mirrored, pixels, strict=True)]
    flipped = [np.array_equal(new, old[:, ::-1]) for new, old in zip(mirrored, pixels, strict=True)]
    assert all(a or b for a, b in zip(same, flipped, strict=True))
    assert any(flipped)
    assert any(same)


def test_no_magnitude_is_no_augmentation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    assert rand_augment(pixels, 0) is pixels


@pytest.mark.parametrize("shape", [(40, 28, 28), (40, 16, 16, 3)])
def test_rand_augment_changes_images_as_the_seed_says_and_more_so_with_magnitude(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def change(magnitude: int) -> float:
        torch.manual_seed(1)
        augmented = rand_augment(pixels, magnitude)
        assert augmented.shape == pixels.shape
        assert augmented.dtype == np.uint8
        return float(np.abs(augmented.astype(float) - pixels).mean())

    assert change(1) < change(15) < change(30)
    assert change(15) == change(15)


def test_no_alpha_is_no_mixup() -> None:
    inputs, labels = torch.rand(4, 3, 2, 2), torch.arange(4)
    mixed, targets = mixup(inputs, labels, 0.0, np.random.default_rng(0))
    assert mixed is inputs
    ((same, share),) = targets
    assert same is labels
    assert share == 1.0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), alpha=st.floats(0.05, 2))
def test_mixup_blends_images_as_it_blends_labels(seed: int, alpha: float) -> None:
    """One-hot images show which labels, and how much of each, are in a blend."""
    labels = torch.arange(6)
    mixed, targets = mixup(torch.eye(6, dtype=torch.float64), labels, alpha, np.random.default_rng(seed))
    blend = sum(share * torch.nn.functional.one_hot(part, 6).double() for part, share in targets)
    torch.testing.assert_close(mixed, blend)
    torch.testing.assert_close(mixed.sum(1), torch.ones(6, dtype=torch.float64))


def test_grey_images_get_one_channel() -> None:
    assert with_channels(np.zeros((2, 3, 4), np.uint8)).shape == (2, 3, 4, 1)
    assert with_channels(np.zeros((2, 3, 4, 3), np.uint8)).shape == (2, 3, 4, 3)
