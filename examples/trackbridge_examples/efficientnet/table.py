"""Counts the parameters of the models that the EfficientNetV2 paper compares, from their code, without weights.

The paper's figure 1 (arXiv 2104.00298) prints parameters and ImageNet top-1 accuracy of four families.  The
parameters are counted here on torch's meta device, which allocates nothing; the accuracies cannot be measured on a
laptop and are cited.

EfficientNetV2-S is printed with 24 M parameters, and the released code has 21.5 M: after the first version of the
paper its authors made the last stage 256 channels wide in place of 272, and wrote that the code is the source of
truth (github.com/google/automl, issue 999).  timm has both: ``efficientnetv2_rw_s`` was made after the first version,
``efficientnetv2_s`` after the code.  A second table counts both part by part.
"""

from collections import Counter

import torch
from torch import nn

import trackbridge
from trackbridge_examples.efficientnet.network import count_parameters, create_model

FIRST_VERSION, RELEASED = "efficientnetv2_rw_s", "efficientnetv2_s"
PUBLISHED = {  # timm's name: (family, parameters in millions as printed, top-1 in percent as printed)
    "efficientnet_b6": ("EfficientNet (2019)", 43, 84.3),
    "resnetrs350": ("ResNet-RS (2021)", 164, 84.0),
    "deit_base_patch16_224": ("DeiT/ViT (2021)", 86, 83.1),
    FIRST_VERSION: ("EfficientNetV2 (2021)", 24, 83.9),
    RELEASED: ("EfficientNetV2 (2021)", 24, 83.9),
}
PARTS = {"conv_stem": "stem", "bn1": "stem", "conv_head": "head", "bn2": "head", "classifier": "classifier"}


def without_weights(name: str) -> nn.Module:
    """A timm model with its 1,000 ImageNet classes, of which only the shapes exist."""
    with torch.device("meta"):
        return create_model(name)


def count_parts(name: str) -> Counter[str]:
    """The parameters of an EfficientNet by part: stem, stages, head, classifier."""
    parts: Counter[str] = Counter()
    for parameter_name, parameter in without_weights(name).named_parameters():
        first, second, *_ = parameter_name.split(".")
        parts[PARTS.get(first) or f"stage {int(second) + 1}"] += parameter.numel()
    return parts


def log_table(project: str) -> dict[str, float]:
    """One run that shows the counted parameters beside the printed ones; returns the counted ones by model, in millions."""
    counted = {name: count_parameters(without_weights(name)) / 1e6 for name in PUBLISHED}
    rows: list[list[object]] = [[family, name, printed, counted[name], top1] for name, (family, printed, top1) in PUBLISHED.items()]
    for family, name, printed, count, top1 in rows:
        print(f"{family:22} {name:22} printed {printed:>4} M  counted {count:7.2f} M  top-1 (cited) {top1} %")

    first, released = count_parts(FIRST_VERSION), count_parts(RELEASED)
    parts: list[list[object]] = [[part, first[part], released[part], first[part] - released[part]] for part in first]
    print(f"Why EfficientNetV2-S has {counted[RELEASED]:.2f} M, not 24 M: its authors changed it after the paper's first version")
    for part, *numbers, difference in parts:
        if difference:
            print(f"  {part:10} {numbers[0]:>10,} parameters in the first version, {numbers[1]:>10,} in the released code")

    with trackbridge.init(project=project, name="parameter-table", tags=["efficientnet", "table"]) as run:
        columns = ["family", "model", "printed parameters (M)", "counted parameters (M)", "cited top-1 (%)"]
        part_columns = ["part", FIRST_VERSION, RELEASED, "difference"]
        trackbridge.log(
            {
                "results": trackbridge.Table(columns=columns, rows=rows),
                "efficientnetv2_s": trackbridge.Table(columns=part_columns, rows=parts),
            }
        )
        for name, count in counted.items():
            run.summary[f"parameters_m/{name}"] = count
    return counted
