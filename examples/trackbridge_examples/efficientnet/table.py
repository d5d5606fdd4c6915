"""Counts the parameters of the models that the EfficientNetV2 paper compares, from their code, without weights.

The paper's figure 1 (arXiv 2104.00298) prints parameters and ImageNet top-1 accuracy of four families.  The
parameters are counted here on torch's meta device, which allocates nothing; the accuracies cannot be measured on a
laptop and are cited.
"""

import torch

import trackbridge
from trackbridge_examples.efficientnet.network import create_model

PUBLISHED = {  # timm's name: (family, parameters in millions as printed, top-1 in percent as printed)
    "efficientnet_b6": ("EfficientNet (2019)", 43, 84.3),
    "resnetrs350": ("ResNet-RS (2021)", 164, 84.0),
    "deit_base_patch16_224": ("DeiT/ViT (2021)", 86, 83.1),
    "efficientnetv2_rw_s": ("EfficientNetV2 (2021)", 24, 83.9),
    "efficientnetv2_s": ("EfficientNetV2 (2021)", 24, 83.9),
}


def count_parameters(name: str) -> float:
    """Millions of parameters of a timm model with its 1,000 ImageNet classes."""
    with torch.device("meta"):
        model = create_model(name)
    count: int = sum(parameter.numel() for parameter in model.parameters())
    return count / 1e6


def log_table(project: str) -> dict[str, float]:
    """One run that shows the counted parameters beside the printed ones; returns the counted ones by model."""
    counted = {name: count_parameters(name) for name in PUBLISHED}
    rows: list[list[object]] = [[family, name, printed, counted[name], top1] for name, (family, printed, top1) in PUBLISHED.items()]
    for family, name, printed, count, top1 in rows:
        print(f"{family:22} {name:22} printed {printed:>4} M  counted {count:7.2f} M  top-1 (cited) {top1} %")
    with trackbridge.init(project=project, name="parameter-table", tags=["efficientnet", "table"]) as run:
        columns = ["family", "model", "printed parameters (M)", "counted parameters (M)", "cited top-1 (%)"]
        trackbridge.log({"results": trackbridge.Table(columns=columns, rows=rows)})
        for name, count in counted.items():
            run.summary[f"parameters_m/{name}"] = count
    return counted
