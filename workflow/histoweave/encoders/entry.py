"""What is to be known of an encoder before its weights are touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class EncoderEntry:
    """One encoder.

    Attributes
    ----------
    architecture: name of the network in timm; `options` are its keyword arguments (`mlp_layer` by its name).
    dim: length of a feature vector. pooling: `model` for timm's own pooled output, `cls_patch_mean` for the
        class token followed by the mean of the patch tokens.
    input_px: edge of the network's input. mean, std: of RGB in 0 to 1.
    source: `hf-hub:<owner>/<model>`, `timm:<model>.<tag>`, or `package:<module>` for weights in an
        installed package.
    gated: True if the weights are given only to registered users who accepted the licence.
    trained_mpp: µm per px of the training tiles, None where there is no such thing.
    weights_suffixes: formats of a local weights file that are understood.
    """

    name: str
    architecture: str
    dim: int
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    gated: bool
    source: str
    trained_mpp: float | None
    note: str = ""
    pooling: Literal["model", "cls_patch_mean"] = "model"
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    weights_suffixes: tuple[str, ...] = (".safetensors",)
