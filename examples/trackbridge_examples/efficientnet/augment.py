"""What is done to training images before the network sees them, and what strengthens in stages in progressive learning."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trackbridge_examples.efficientnet.network import LAYOUTS
from trackbridge_examples.torchvision_remedy import import_torchvision

SIZE = 32  # pixels: 28 and a border
BORDERED = 28  # pixels of images that get the border
OPERATIONS = 2  # of RandAugment, on each image


@dataclass(frozen=True)
class Stage:
    """A part of training: the images' size in pixels, and how strongly is regularised."""

    size: int = SIZE
    dropout: float = 0.1  # before the classifier
    magnitude: int = 0  # RandAugment's, of 30 (arXiv 1909.13719); 0 is without it
    mixup: float = 0.0  # alpha (arXiv 1710.09412); 0 is without it


Targets = list[tuple[Tensor, float]]  # labels [b], and their share of the loss


def with_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey images ``[n, h, w]`` as ``[n, h, w, 1]``; colour images as they are."""
    return pixels if pixels.ndim == 4 else pixels[..., None]


def mirror(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Half of the images ``[n, h, w]`` or ``[n, h, w, 3]``, drawn at random, with left and right exchanged."""
    chosen = rng.random(len(pixels)) < 0.5
    return np.where(chosen.reshape(-1, *[1] * (pixels.ndim - 1)), pixels[:, :, ::-1], pixels)


def rand_augment(pixels: NDArray[np.uint8], magnitude: int) -> NDArray[np.uint8]:
    """Images of either shape, each after random operations of its own, drawn by torch's generator."""
    if not magnitude:
        return pixels
    import_torchvision()
    from torchvision.transforms.v2 import RandAugment

    augment = RandAugment(num_ops=OPERATIONS, magnitude=magnitude)
    images = torch.from_numpy(with_channels(pixels)).permute(0, 3, 1, 2)
    augmented = torch.stack([augment(image) for image in images])
    return augmented.permute(0, 2, 3, 1).numpy().reshape(pixels.shape)


def mixup(inputs: Tensor, labels: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Targets]:
    """A batch of which each image is blended with another, and the labels of both with their shares."""
    if not alpha:
        return inputs, [(labels, 1.0)]
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(len(labels)))
    return inputs * share + inputs[partner] * (1 - share), [(labels, share), (labels[partner], 1 - share)]


def network_input(pixels: NDArray[np.uint8], size: int = SIZE, layout: str = "channels-last") -> Tensor:
    """Images ``[n, h, w]`` or ``[n, h, w, 3]`` as the network wants them: ``[n, 3, size, size]``, from -1 to 1.

    Images of 28 pixels get a black border of 2; what is then not of the wanted size is resized.
    """
    border = (SIZE - BORDERED) // 2 if pixels.shape[1] == BORDERED else 0
    padded = np.pad(with_channels(pixels), ((0, 0), (border, border), (border, border), (0, 0)))
    images = torch.from_numpy(padded).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    if images.shape[-2:] != (size, size):
        images = nn.functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    return images.expand(-1, 3, -1, -1).contiguous(memory_format=LAYOUTS[layout])
