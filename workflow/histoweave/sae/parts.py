"""From tensors of a file to a sparse autoencoder: every shape and number is looked at before it is used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from histoweave.errors import InputError, short
from histoweave.sae.model import Architecture, SparseAutoencoder

WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")
LARGEST = 1e18  # the square of a larger value is beyond float32


def assemble(
    path: str | os.PathLike,
    tensors: Mapping[str, torch.Tensor],
    *,
    architecture: Architecture,
    k: Any = None,
    centred: bool = True,
    dims: tuple[Any, Any] = (None, None),
    training: Mapping[str, torch.Tensor] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> SparseAutoencoder:
    """A sparse autoencoder from the tensors of `path`, in float32.

    Parameters
    ----------
    tensors: `W_enc` (D,L), `b_enc` (L,), `W_dec` (L,D), `b_dec` (D,); `threshold` (L,) of `jumprelu`; no others.
    centred: whether pre-activations are of x − b_dec; if of x, z = x W_enc + b_enc, and b_enc + b_dec W_enc takes the
        place of b_enc.
    dims: D and L as the configuration has them, None if it does not.
    training: `training_mean` (D,) and `firing` (L,), both optional.

    Raises
    ------
    InputError
        naming the file and the tensor: missing, unknown, of a wrong shape, not of numbers, NaN or infinite; or `k`.
    """
    names = {*WEIGHTS, "threshold"} if architecture == "jumprelu" else set(WEIGHTS)
    if strange := [name for name in tensors if not isinstance(name, str)]:
        raise InputError(f"{path}: {strange[0]!r:.40} is no name of a tensor; is it a sparse autoencoder?")
    if missing := sorted(names - set(tensors)):
        raise InputError(f"{path}: {_listed(missing)} missing; a '{architecture}' sparse autoencoder has it")
    if unknown := sorted(set(tensors) - names):
        raise InputError(
            f"{path}: {_listed(unknown)} not known in a '{architecture}' sparse autoencoder; it cannot be applied here"
        )
    if not is_plain(tensors["W_enc"]):
        raise InputError(f"{path}: 'W_enc' does not hold floating-point numbers; is it a sparse autoencoder?")
    if tensors["W_enc"].ndim != 2:
        raise InputError(f"{path}: 'W_enc' has {tensors['W_enc'].ndim} dimensions in place of 2; is the file whole?")
    d, n_latents = tensors["W_enc"].shape
    if not d or not n_latents:
        raise InputError(f"{path}: 'W_enc' has shape {(d, n_latents)}, which is nothing; is the file whole?")
    for value, said, what in zip((d, n_latents), dims, ("tokens of", "latents:"), strict=True):
        if said is not None and not (isinstance(said, (int, float)) and said == value):
            said = short(said)
            raise InputError(f"{path}: {what} {value} by the weights, {said} by the configuration beside; which is it?")
    shapes = {
        "W_enc": (d, n_latents), "b_enc": (n_latents,), "W_dec": (n_latents, d), "b_dec": (d,),
        "threshold": (n_latents,), "training_mean": (d,), "firing": (n_latents,),
    }  # fmt: skip
    found = {**tensors, **(training or {})}
    values = {name: _checked(path, name, found[name], shape) for name, shape in shapes.items() if name in found}
    if architecture == "topk" and not (type(k) is int and 1 <= k <= n_latents):
        raise InputError(f"{path}: k is {short(k)}, but must be a whole number from 1 to {n_latents}; fix it there")
    if not centred:
        values["b_enc"] = _usable(path, "b_enc", values["b_enc"] + values["b_dec"] @ values["W_enc"])
    return SparseAutoencoder(
        architecture=architecture,
        k=k if architecture == "topk" else None,
        **{name.lower(): value for name, value in values.items()},
        metadata=dict(metadata or {}),
    )


def check(path: str | os.PathLike, sae: SparseAutoencoder) -> None:
    """Check what is about to be saved in `path` as what is read is checked.

    Raises
    ------
    InputError
        as `assemble`.
    """
    tensors, training = tensors_of(sae)
    assemble(path, tensors, architecture=sae.architecture, k=sae.k, training=training)


def tensors_of(sae: SparseAutoencoder) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights, and what is known of the training; by the names that they have in files, on the CPU."""
    weights = {name: getattr(sae, name.lower()) for name in (*WEIGHTS, "threshold")}
    training = {name: getattr(sae, name) for name in ("training_mean", "firing")}
    weights, training = (
        {name: value.cpu() for name, value in part.items() if value is not None} for part in (weights, training)
    )
    return weights, training


def _checked(path: str | os.PathLike, name: str, value: Any, shape: tuple[int, ...]) -> torch.Tensor:
    where = f"{path}: '{name}'"
    if not is_plain(value) or not value.is_floating_point():
        raise InputError(f"{where} does not hold floating-point numbers; is it a sparse autoencoder?")
    if tuple(value.shape) != shape:
        raise InputError(f"{where} has shape {tuple(value.shape)}, but {shape} belongs to 'W_enc'; is the file whole?")
    return _usable(path, name, value.detach().to(dtype=torch.float32)).contiguous()


def _usable(path: str | os.PathLike, name: str, value: torch.Tensor) -> torch.Tensor:
    """The tensor itself, whose numbers, and the squares of them, are finite."""
    if not (value.abs() < LARGEST).all():
        raise InputError(
            f"{path}: '{name}' holds NaN or infinity, or values beyond {LARGEST:g}; fit it again with a lower learning "
            "rate, or take another file"
        )
    return value


def is_plain(value: Any) -> bool:
    """Whether a value is a tensor whose numbers are all there, one after the other or in another order.

    A pickled tensor can be sparse, can have no numbers at all, or can repeat a few of them to any size.
    """
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return not value.is_quantized and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _listed(names: list[str]) -> str:
    shown = [f"'{name:.40}'" for name in names[:5]] + (["…"] if len(names) > 5 else [])
    return ", ".join(shown) + (" is" if len(names) == 1 else " are")


def inside(folder: str | os.PathLike, *names: str) -> bool:
    """Whether a folder has all these files."""
    return all(os.path.isfile(Path(folder) / name) for name in names)
