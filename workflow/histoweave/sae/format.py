"""Files of a sparse autoencoder: the layout that SAELens reads, with what is known of its training beside."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch

from histoweave.errors import InputError
from histoweave.sae import foreign
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.parts import check, inside, tensors_of
from histoweave.storage import files as io
from histoweave.storage.tensors import read_tensors

CONFIG, WEIGHTS, TRAINING = "cfg.json", "sae_weights.safetensors", "training.safetensors"
FILES = (CONFIG, WEIGHTS, TRAINING)
# The version whose layout is written. Without one, readers take the file for an older layout.
_SAELENS_VERSION = "6.0.0"


def save(sae: SparseAutoencoder, folder: str | os.PathLike) -> None:
    """Write `FILES` into `folder`; equal content gives equal bytes. A folder without cfg.json is unfinished.

    Raises
    ------
    InputError
        if the weights hold NaN or infinity, their shapes do not fit together, or the place cannot be written to.
    """
    folder = Path(folder)
    check(folder, sae)
    weights, training = tensors_of(sae)
    io.check_writable(folder)
    (folder / CONFIG).unlink(missing_ok=True)
    _write_tensors(folder / WEIGHTS, weights)
    _write_tensors(folder / TRAINING, training)
    config: dict[str, Any] = {
        "architecture": sae.architecture,
        "d_in": sae.dim,
        "d_sae": sae.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": _SAELENS_VERSION, "histoweave": dict(sae.metadata)},
    }
    if sae.architecture == "topk":
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    io.write_json(folder / CONFIG, config)


def load(path: str | os.PathLike) -> SparseAutoencoder:
    """A dictionary of ours, of SAELens (standard, topk, jumprelu) or sparsify (a folder), or of CytoSAE (a `.pt`).

    Nothing that could run code is unpickled. Weights become float32; `metadata` is what the file says of itself.

    Raises
    ------
    InputError
        naming the file: unknown layout, torn file, pickled objects, wrong shapes, NaN, or a normalisation, a gate or
        another part that the applied form does not have.
    """
    path = Path(path)
    if path.suffix.lower() == ".pt" and os.path.isfile(path):
        return foreign.read_checkpoint(path)
    if inside(path, "sae.safetensors"):
        return foreign.read_sparsify(path)
    if not inside(path, WEIGHTS):
        raise InputError(
            f"{path}: no sparse autoencoder there; name a folder with {CONFIG} and {WEIGHTS} (SAELens) or "
            "sae.safetensors (sparsify), or a checkpoint's .pt file"
        )
    config = foreign.read_config(path / CONFIG)
    metadata = config.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    training = read_tensors(path / TRAINING) if inside(path, TRAINING) else {}
    if unknown := sorted(set(training) - {"training_mean", "firing"}):
        raise InputError(f"{path / TRAINING}: '{unknown[0]}' is not known; is the file of another tool?")
    own = metadata.get("histoweave")
    return foreign.read_saelens(
        config, path / WEIGHTS, training=training, metadata=own if isinstance(own, dict) else metadata
    )


def sae_sha256(sae: SparseAutoencoder | str | os.PathLike) -> str:
    """SHA-256 of architecture, k and all tensors, those of the training included; of a dictionary, or of its files.

    Raises
    ------
    InputError
        as `load`.
    """
    sae = sae if isinstance(sae, SparseAutoencoder) else load(sae)
    digest = hashlib.sha256(f"{sae.architecture} {sae.k}".encode())
    for tensors in tensors_of(sae):
        for name, value in sorted(tensors.items()):
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(_array(value).tobytes())
    return digest.hexdigest()


def _write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    with io.atomic_path(path) as temporary:
        safetensors.numpy.save_file({name: _array(value) for name, value in tensors.items()}, temporary)


def _array(value: torch.Tensor) -> np.ndarray:
    """Little-endian float32, row after row."""
    return np.ascontiguousarray(value.numpy(), dtype="<f4")
