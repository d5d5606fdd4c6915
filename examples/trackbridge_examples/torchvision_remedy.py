"""Imports torchvision where its compiled extension does not load, so that timm, which needs it, can be imported.

The torchvision wheel is linked to CUDA.  Beside a CPU build of torch its extension does not load, and the import ends
in ``RuntimeError: operator torchvision::nms does not exist``, because torchvision describes two of the extension's
operators to torch whether or not they were loaded.  Declaring those two is enough: models and transforms then work,
and only the compiled operators themselves (``nms``, ``roi_align``, image decoding) stay unavailable.  On a healthy
installation nothing is changed.
"""

import importlib
import sys

import torch

_MISSING_OPERATORS = ("nms", "qnms")
_declared: list[torch.library.Library] = []  # the declarations live as long as their library object


def import_torchvision() -> None:
    """Imports torchvision; declares the operators that a CPU build of torch lacks if, and only if, that fails."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _declared:
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in _MISSING_OPERATORS:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        importlib.import_module("torchvision")
