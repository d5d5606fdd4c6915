"""Compound scaling, and the papers' figures beside what is counted from the models' code, without weights."""

import math
from typing import NamedTuple

import torch

import trackbridge
from trackbridge_examples.efficientnet.network import count_multiply_adds, count_parameters, create_model

DEPTH, WIDTH, RESOLUTION = 1.2, 1.1, 1.15  # alpha, beta and gamma of arXiv 1905.11946; alpha * beta**2 * gamma**2 is about 2
BASE_SIZE = 224  # pixels of B0's images


class Scaling(NamedTuple):
    """How many times the blocks, the channels and the pixels along an edge of B0 a model has."""

    depth: float
    width: float
    resolution: float


class Published(NamedTuple):
    """What a paper prints of a model: parameters in millions, multiply-adds in billions (it calls them FLOPs), top-1 in percent."""

    size: int
    parameters: float
    multiply_adds: float
    top1: float
    scaling: tuple[float, float] | None = None  # of EfficientNet: depth and width


PUBLISHED = {  # arXiv 1905.11946 (version 5), table 2; arXiv 2104.00298 (version 3), table 7; the scaling from the released code
    "efficientnet_b0": Published(224, 5.3, 0.39, 77.1, (1.0, 1.0)),
    "efficientnet_b1": Published(240, 7.8, 0.70, 79.1, (1.1, 1.0)),
    "efficientnet_b2": Published(260, 9.2, 1.0, 80.1, (1.2, 1.1)),
    "efficientnet_b3": Published(300, 12, 1.8, 81.6, (1.4, 1.2)),
    "efficientnet_b4": Published(380, 19, 4.2, 82.9, (1.8, 1.4)),
    "efficientnet_b5": Published(456, 30, 9.9, 83.6, (2.2, 1.6)),
    "efficientnet_b6": Published(528, 43, 19, 84.0, (2.6, 1.8)),
    "efficientnet_b7": Published(600, 66, 37, 84.3, (3.1, 2.0)),
    "efficientnetv2_s": Published(384, 22, 8.8, 83.9),
    "efficientnetv2_m": Published(480, 54, 24, 85.1),
    "efficientnetv2_l": Published(480, 120, 53, 85.7),
}


def compound(phi: float) -> Scaling:
    """What arXiv 1905.11946 scales B0 by, for about 2**phi times the multiply-adds."""
    return Scaling(DEPTH**phi, WIDTH**phi, RESOLUTION**phi)


def exponents(scaling: Scaling) -> Scaling:
    """The phi by which each of the three would have been scaled; compound scaling makes them one."""
    return Scaling(*(math.log(times) / math.log(base) for times, base in zip(scaling, compound(1), strict=True)))


def count_published(name: str, size: int) -> tuple[float, float]:
    """Millions of parameters and billions of multiply-adds of a timm model with its 1,000 ImageNet classes."""
    with torch.device("meta"):
        model = create_model(name)
    return count_parameters(model) / 1e6, count_multiply_adds(model, size) / 1e9


def log_papers(project: str) -> dict[str, tuple[float, float]]:
    """One run that shows the counted figures beside the printed ones; returns the counted ones by model."""
    counted = {name: count_published(name, published.size) for name, published in PUBLISHED.items()}
    columns = ["model", "pixels", "printed parameters (M)", "counted parameters (M)", "difference (%)"]
    columns += ["printed multiply-adds (G)", "counted multiply-adds (G)", "difference of multiply-adds (%)", "cited top-1 (%)"]
    rows: list[list[object]] = []
    for name, published in PUBLISHED.items():
        parameters, multiply_adds = counted[name]
        cells = [published.parameters, parameters, percent_more(parameters, published.parameters)]
        cells += [published.multiply_adds, multiply_adds, percent_more(multiply_adds, published.multiply_adds)]
        rows.append([name, published.size, *cells, published.top1])
        print(
            f"{name:17} {published.size} px  parameters printed {cells[0]:>5} M counted {cells[1]:7.2f} M ({cells[2]:+.1f} %)  "
            f"multiply-adds printed {cells[3]:>5} G counted {cells[4]:6.2f} G ({cells[5]:+.1f} %)"
        )
    scalings = scaling_rows()
    for model, *numbers in scalings:
        print(f"{model:17}" + "  ".join(f"{what} {number:.2f}" for what, number in zip(SCALING_COLUMNS[1:], numbers, strict=True)))
    with trackbridge.init(project=project, name="papers", tags=["efficientnet", "papers"]) as run:
        trackbridge.log(
            {
                "results": trackbridge.Table(columns=columns, rows=rows),
                "scaling": trackbridge.Table(columns=SCALING_COLUMNS, rows=scalings),
            }
        )
        for name, (parameters, multiply_adds) in counted.items():
            run.summary[f"parameters_m/{name}"] = parameters
            run.summary[f"multiply_adds_g/{name}"] = multiply_adds
    return counted


SCALING_COLUMNS = ["model", "depth", "width", "resolution", "phi by depth", "phi by width", "phi by resolution"]


def scaling_rows() -> list[list[object]]:
    """How B0 to B7 are scaled, and the phi that would have given each number."""
    rows: list[list[object]] = []
    for name, published in PUBLISHED.items():
        if published.scaling:
            scaling = Scaling(*published.scaling, published.size / BASE_SIZE)
            rows.append([name, *scaling, *exponents(scaling)])
    return rows


def percent_more(counted: float, printed: float) -> float:
    """By how many percent the counted figure is above the printed one."""
    return 100 * (counted / printed - 1)
