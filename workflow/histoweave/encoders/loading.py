"""From an encoder's configuration to a network with its weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError  # raised by torch.load(weights_only=True) for anything but tensors
from typing import Any

import timm
import timm.data
import timm.layers
import torch
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn

from histoweave.encoders import lite0
from histoweave.encoders.entry import EncoderEntry
from histoweave.encoders.plugin import read_plugin
from histoweave.encoders.registry import HUB, TIMM, check, get
from histoweave.errors import InputError
from histoweave.settings.encoder import Encoder, TileEncoder
from histoweave.storage.tensors import not_finite, objection_to_pickled, read_tensors

logger = logging.getLogger(__name__)

PACKAGE = "package:"


@dataclass(frozen=True)
class LoadedEncoder:
    """A network ready for inference.

    Attributes
    ----------
    module: in evaluation mode, without gradients; (N, 3, input_px, input_px) float32 normalised RGB to (N,
        dim).
    mean, std: of RGB in 0 to 1.
    interpolation: `bicubic` or `bilinear`: how a tile smaller than the input is enlarged.
    weights_sha256: SHA-256 over names and bytes of all tensors, sorted by name.
    """

    name: str
    module: nn.Module
    dim: int
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    weights_sha256: str


class ClassAndPatchMean(nn.Module):
    """The class token followed by the mean of the patch tokens of a vision transformer: (N, 2 × width)."""

    def __init__(self, transformer: nn.Module):
        super().__init__()
        self.transformer: Any = transformer  # timm's: what it has besides nn.Module's is in no type

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.transformer.forward_features(images))

    def forward_head(self, tokens: torch.Tensor) -> torch.Tensor:
        """From all tokens (N, T, width) after the last norm."""
        patches = tokens[:, self.transformer.num_prefix_tokens :]
        return torch.cat([tokens[:, 0], patches.mean(dim=1)], dim=1)


def load(encoder: Encoder) -> LoadedEncoder:
    """Build the network and load its weights: from a local file if given, else as its name says.

    Raises
    ------
    InputError
        for an unknown name, weights that cannot be had (offline, gated) or do not fit, or an input size
        that the network cannot take.
    """
    if isinstance(encoder, TileEncoder) and encoder.plugin is not None:
        return _from_plugin(encoder, encoder.plugin)
    check(encoder)
    if encoder.name.startswith((TIMM, HUB)):
        network = _timm_network(encoder)
        data = timm.data.resolve_model_data_config(network)
        defaults = {"input_px": data["input_size"][-1], "mean": data["mean"], "std": data["std"]}
        interpolation, module = data["interpolation"], network
    else:
        entry = get(encoder.name)
        network = _registered_network(encoder, entry)
        defaults = {"input_px": entry.input_px, "mean": entry.mean, "std": entry.std}
        interpolation = network.pretrained_cfg["interpolation"]
        module = ClassAndPatchMean(network) if entry.pooling == "cls_patch_mean" else network
    defaults.update({key: value for key in defaults if (value := getattr(encoder, key)) is not None})
    module.eval().requires_grad_(False)
    loaded = LoadedEncoder(
        name=encoder.name,
        module=module,
        dim=0,
        input_px=int(defaults["input_px"]),
        mean=_of_rgb(defaults["mean"]),
        std=_of_rgb(defaults["std"]),
        interpolation=interpolation,
        weights_sha256=_weights_sha256(network),
    )
    return replace(loaded, dim=_feature_length(loaded, network))


def _of_rgb(values: Iterable[Any]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _from_plugin(encoder: TileEncoder, plugin: str) -> LoadedEncoder:
    """The user's own network; the hash is of its tensors and of the plugin's file."""
    given = read_plugin(plugin)
    logger.info("encoder '%s' of %s, licence %s", encoder.name, encoder.plugin, given["licence"])
    of_both = hashlib.sha256((_weights_sha256(given["module"]) + given["sha256"]).encode()).hexdigest()
    own = {key: getattr(encoder, key) or given[key] for key in ("input_px", "mean", "std")}
    loaded = LoadedEncoder(
        name=encoder.name,
        module=given["module"],
        dim=given["dim"],
        **own,
        interpolation="bicubic",
        weights_sha256=of_both,
    )
    return replace(loaded, dim=_feature_length(loaded, loaded.module))


def _feature_length(loaded: LoadedEncoder, network: Any) -> int:
    """Length of a feature vector, by one pass; a transformer is fitted to the input size first."""
    px = loaded.input_px
    try:
        if hasattr(network, "set_input_size"):
            network.set_input_size(img_size=(px, px))
        with torch.inference_mode():
            features = loaded.module(torch.zeros(1, 3, px, px))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(f"encoder '{loaded.name}' cannot take tiles of {px} px: {error}") from None
    if features.ndim != 2:
        raise InputError(
            f"encoder '{loaded.name}' gives {features.ndim} axes, not one vector per tile; "
            "use an entry of the registry, which says how to pool"
        )
    return features.shape[1]


def _timm_network(encoder: Encoder) -> Any:
    if encoder.weights is None:
        return _pretrained(encoder.name, encoder.name.removeprefix(TIMM))
    network = timm.create_model(encoder.name.removeprefix(TIMM), num_classes=0)
    return _with_local_weights(network, Path(encoder.weights))


def _registered_network(encoder: Encoder, entry: EncoderEntry) -> Any:
    options: dict[str, Any] = dict(entry.options)
    if "mlp_layer" in options:
        options["mlp_layer"] = getattr(timm.layers, options["mlp_layer"])
    if encoder.weights is None and not entry.source.startswith(PACKAGE):
        return _pretrained(entry.name, entry.source.removeprefix(TIMM), entry=entry, **options)
    network = timm.create_model(entry.architecture, num_classes=0, **options)
    if encoder.weights is not None:
        return _with_local_weights(network, Path(encoder.weights))
    network.load_state_dict(_without_classifier(lite0.state_dict(network), network))
    return network


def _pretrained(name: str, model: str, *, entry: EncoderEntry | None = None, **options: Any) -> Any:
    """A network with the weights that timm finds in its cache or fetches."""
    logger.info("loading weights of %s", model)
    try:
        return timm.create_model(model, pretrained=True, num_classes=0, **options)
    except (OSError, RuntimeError, ValueError) as error:
        access = ""
        if entry is not None:
            gate = (
                "gated: request access at its page and set HF_TOKEN in the environment" if entry.gated else "not gated"
            )
            access = f" (licence {entry.licence}; {gate})"
        raise InputError(
            f"encoder '{name}': its weights cannot be had from {model}{access}; go online once, "
            "or set encoder.weights to a local .safetensors file "
            f"[{type(error).__name__}: {_one_line(error)}]"
        ) from None


def _with_local_weights(network: Any, path: Path) -> Any:
    architecture = network.pretrained_cfg["architecture"]
    try:
        if path.suffix == ".pth":
            if against := objection_to_pickled(path):
                raise InputError(f"{path}: {against}")
            state = _dinov2_teacher(torch.load(path, map_location="cpu", weights_only=True), network)
        else:
            state = read_tensors(path)
        network.load_state_dict(_without_classifier(state, network))
    except InputError as error:
        raise InputError(f"encoder.weights: {error}") from None
    except UnpicklingError:
        raise InputError(
            f"encoder.weights '{path}' holds more than tensors, which is not loaded; "
            "save its tensors with safetensors.torch.save_file"
        ) from None
    except Exception as error:  # a damaged file, or one of another network, can fail in any way
        raise InputError(
            f"encoder.weights '{path}' does not fit {architecture}: "
            f"{_one_line(error)}; give the file and the architecture that belong together"
        ) from None
    if (name := not_finite(network.state_dict())) is not None:
        raise InputError(f"encoder.weights '{path}': '{name}' holds NaN or infinity; use another file")
    return network


def _dinov2_teacher(checkpoint: Any, network: Any) -> dict[str, torch.Tensor]:
    """The backbone of a DINOv2 training checkpoint (`teacher`, prefix `backbone.`) under timm's names."""
    prefix = "backbone."
    teacher = checkpoint.get("teacher") if isinstance(checkpoint, Mapping) else None
    if not isinstance(teacher, Mapping):
        raise ValueError("it is no training checkpoint of DINOv2, for it has no 'teacher'")
    backbone = {str(key).removeprefix(prefix): value for key, value in teacher.items() if str(key).startswith(prefix)}
    return checkpoint_filter_fn(backbone, network)


def _without_classifier(state: dict[str, torch.Tensor], network: Any) -> dict[str, torch.Tensor]:
    """The weights without the classification head, which gives no features."""
    heads = network.pretrained_cfg["classifier"] or ()
    prefixes = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


def _weights_sha256(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
