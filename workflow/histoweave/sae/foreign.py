"""Sparse autoencoders that other tools saved, read from their public layouts without any of the tools."""

from __future__ import annotations

import math
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from histoweave.errors import InputError, short
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.parts import assemble, check
from histoweave.storage.strict_json import read_object
from histoweave.storage.tensors import objection_to_pickled, read_tensors

# What must have this value, if it is said at all, for the weights alone to tell how tokens become activations.
_SAELENS_NEUTRAL = {
    "normalize_activations": ("none", None),
    "reshape_activations": ("none", None),
    "finetuning_scaling_factor": (False, None),
}
_SPARSIFY_NEUTRAL = {
    "activation": ("topk",),
    "transcode": (False,),
    "skip_connection": (False,),
    "signed": (False,),
}
# Checkpoints of CytoSAE and PatchSAE pickle a plain object of these classes beside the weights.
_SETTINGS_CLASSES = tuple(
    f"{module}.config.{name}"
    for module in ("src.sae_training", "sae_training")
    for name in ("ViTSAERunnerConfig", "Config")
)

_WANTED = "{'cfg': {}, 'state_dict': the state_dict}"


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """A `cfg.json`; NaN and infinity, which Python writes though JSON has none, are taken for values that are not given.

    Raises
    ------
    InputError
        if it is not JSON, or no table of keys.
    """
    return read_object(path, mend="copy the folder again", constants=True)


def read_saelens(
    config: Mapping[str, Any], weights: Path, *, training: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> SparseAutoencoder:
    """SAELens' `cfg.json` and `sae_weights.safetensors`; BatchTopK is saved there as JumpReLU already.

    `rescale_acts_by_decoder_norm` chooses the k largest z ||w_dec|| and divides by the length again before decoding:
    the lengths go into the encoder, and unit rows remain.
    """
    path = weights.with_name("cfg.json")
    _check_neutral(path, config, _SAELENS_NEUTRAL)
    architecture, k = _saelens_architecture(config)
    if architecture not in ("standard", "topk", "jumprelu"):
        raise InputError(
            f"{path}: architecture {short(architecture)} cannot be applied here; only standard, topk and jumprelu can"
        )
    tensors = read_tensors(weights)
    unscaled = tensors.get("scaling_factor")
    if unscaled is not None and bool((unscaled == 1).all()):  # old files have it though it is not used
        del tensors["scaling_factor"]
    sae = assemble(
        weights,
        tensors,
        architecture=architecture,
        k=k,
        centred=_flag(path, config, "apply_b_dec_to_input", default=True),
        dims=(config.get("d_in"), config.get("d_sae")),
        training=training,
        metadata=metadata,
    )
    if _flag(path, config, "rescale_acts_by_decoder_norm", default=False) and architecture == "topk":
        sae = _with_unit_rows(sae)
        check(weights, sae)
    return sae


def _saelens_architecture(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """σ and k. Before version 6, TopK was a `standard` whose activation function had another name."""
    architecture = config.get("architecture", "standard")
    named = (config.get(key) for key in ("activation_fn", "activation_fn_str"))
    function = next((name for name in named if name is not None), "relu")
    if architecture == "standard" and function == "topk":
        arguments = config.get("activation_fn_kwargs")
        return "topk", arguments.get("k") if isinstance(arguments, dict) else None
    if architecture == "standard" and function != "relu":
        return function, None
    return architecture, config.get("k")


def _with_unit_rows(sae: SparseAutoencoder) -> SparseAutoencoder:
    length = sae.w_dec.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    values = {**vars(sae), "w_enc": sae.w_enc * length, "b_enc": sae.b_enc * length}
    return SparseAutoencoder(**values | {"w_dec": sae.w_dec / length[:, None]})


def read_sparsify(folder: Path) -> SparseAutoencoder:
    """Sparsify's `cfg.json` and `sae.safetensors`: TopK of ReLU((x − b_dec) Wᵀ + b), W the encoder's (L,D) weight."""
    path, weights = folder / "cfg.json", folder / "sae.safetensors"
    config = read_config(path)
    _check_neutral(path, config, _SPARSIFY_NEUTRAL)
    tensors = read_tensors(weights)
    names = {"encoder.weight": "W_enc", "encoder.bias": "b_enc"}
    tensors = {names.get(name, name): value for name, value in tensors.items()}
    if "W_enc" in tensors and tensors["W_enc"].ndim == 2:
        tensors["W_enc"] = tensors["W_enc"].T
    latents = config.get("num_latents") or None  # 0: by the expansion factor
    return assemble(
        weights,
        tensors,
        architecture="topk",
        k=config.get("k"),
        dims=(config.get("d_in"), latents),
        metadata=config,
    )


class _Settings:
    """Stands in for a checkpoint's settings: takes its attributes, and does nothing."""


def read_checkpoint(path: str | os.PathLike) -> SparseAutoencoder:
    """The `.pt` of CytoSAE or PatchSAE: `state_dict` and settings, read as a ReLU dictionary.

    Only tensors and plain values are unpickled (`weights_only`); in place of the settings' class stands an empty one.

    Raises
    ------
    InputError
        if there is anything else in it, so that opening it could run code.
    """
    if against := objection_to_pickled(path):
        raise InputError(f"{path}: {against}")
    try:
        with torch.serialization.safe_globals([(_Settings, name) for name in _SETTINGS_CLASSES]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"'{found[1]}'" if found else "something"
        raise InputError(
            f"{path}: {what} is pickled in it beside tensors and plain values, which could run code; it was not opened. "
            f"Where it was made, save {_WANTED} with torch.save"
        ) from error
    except Exception as error:  # a torn file can fail in any way
        raise InputError(f"{path}: no whole file of torch.save ({type(error).__name__}); copy it again") from error
    tensors = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(tensors, Mapping):
        raise InputError(f"{path}: no 'state_dict' in it; save {_WANTED} with torch.save")
    settings = _settings_of(path, content)
    _check_neutral(path, settings, _SAELENS_NEUTRAL | {"gated_sae": (False,)})
    architecture, _ = _saelens_architecture(settings)
    if architecture != "standard":
        raise InputError(
            f"{path}: its activations are of {short(architecture)}; of a checkpoint only those of a standard sparse "
            "autoencoder (ReLU) can be applied here; save it in the layout of SAELens"
        )
    return assemble(
        path,
        tensors,
        architecture="standard",
        centred=_flag(path, settings, "apply_b_dec_to_input", default=True),
        dims=(settings.get("d_in"), settings.get("d_sae")),
        metadata=_plain(settings),
    )


def _settings_of(path: str | os.PathLike, content: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a checkpoint states, under either name; those that are None count as not stated."""
    if content.get("cfg") is not None and content.get("config") is not None:
        raise InputError(f"{path}: holds settings both as 'cfg' and as 'config'; keep those that it was trained with")
    found = content.get("cfg") if content.get("cfg") is not None else content.get("config")
    found = vars(found) if isinstance(found, _Settings) else {} if found is None else found
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: its settings are not a table of keys; is it a sparse autoencoder?")
    return {key: value for key, value in found.items() if value is not None}


def _flag(path: str | os.PathLike, config: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = default if config.get(key) is None else config[key]
    if not isinstance(value, bool):
        raise InputError(f"{path}: {key} is {short(value)}, but must be true or false; fix it there")
    return value


def _check_neutral(path: str | os.PathLike, config: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]]) -> None:
    for key, allowed in neutral.items():
        # By type too: what is compared may be a tensor, or 0 in place of false.
        if key in config and not any(type(config[key]) is type(one) and config[key] == one for one in allowed):
            raise InputError(
                f"{path}: {key} is {short(config[key])}, which cannot be applied here; "
                "fold it into the weights with the tool that made it, or take another dictionary"
            )


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold of the settings."""
    return {
        str(key): value
        for key, value in settings.items()
        if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
    }
