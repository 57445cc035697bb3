"""Stages around a dictionary: fit it on all images, or on a fold's training patients; encode a cohort with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from histoweave.cell_config import Sae
from histoweave.concepts.activations import encode_images
from histoweave.errors import InputError
from histoweave.io import read_table, write_table
from histoweave.sae import format
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.train import fit
from histoweave.shards import artefacts
from histoweave.tokens import Tokens, cell_blocks, slide_blocks


def tokens_of(paths: Sequence[str]) -> Tokens:
    """The tokens in shards of cells (.h5), or of the slides that the indexes of feature shards name (.json)."""
    cells = [path for path in paths if path.endswith(".h5")]
    slides = slide_blocks(artefacts(path for path in paths if path.endswith(".json")))
    return Tokens([*(block for path in cells for block in cell_blocks(path)), *slides])


def fit_stage(
    *, tokens: Sequence[str], images: str, settings: Sae, seed: int, device: torch.device, folder: Path
) -> None:
    """Fit a dictionary on every usable image of a cohort and save it in `folder`, with its history.

    Raises
    ------
    InputError
        if there is nothing to fit on, or tokens hold NaN.
    """
    usable = read_table(images).query("status == 'ok'")
    _fit(tokens_of(tokens), usable["image"], settings=settings, seed=seed, device=device, folder=folder)


def fit_fold_stage(
    *,
    tokens: Sequence[str],
    images: str,
    folds: str,
    fold: int,
    settings: Sae,
    token_threshold: float,
    seed: int,
    device: torch.device,
    folder: Path,
) -> None:
    """Fit a dictionary without the test patients of a fold, save it, and encode all images with it (`activations.h5`).

    Images that are in no fold, having no label, are fitted on too: no label is used.
    """
    usable = read_table(images).query("status == 'ok'")
    assigned = read_table(folds)
    tested = set(assigned.loc[(assigned["fold"] == fold) & (assigned["role"] == "test"), "patient"])
    kept = usable.loc[~usable["patient"].isin(tested), "image"]
    everything = tokens_of(tokens)
    sae = _fit(everything, kept, settings=settings, seed=seed, device=device, folder=folder)
    _encode(sae, everything, token_threshold=token_threshold, device=device, out=folder / "activations.h5")


def encode_stage(
    *, sae: str | os.PathLike, tokens: Sequence[str], token_threshold: float, device: torch.device, out: Path
) -> None:
    """Encode a cohort with the dictionary in the folder `sae`.

    Raises
    ------
    InputError
        if the dictionary cannot be read or does not fit the tokens.
    """
    _encode(format.load(sae), tokens_of(tokens), token_threshold=token_threshold, device=device, out=out)


def _fit(
    tokens: Tokens, images: pd.Series, *, settings: Sae, seed: int, device: torch.device, folder: Path
) -> SparseAutoencoder:
    chosen = tokens.select(images)
    if not chosen.blocks:
        raise InputError(f"{folder}: no image is left to fit a sparse autoencoder on; see images.parquet beside it")
    sae, history = fit(chosen, settings=settings, seed=seed, device=device)
    format.save(sae, folder)
    write_table(folder / "history.parquet", history)
    return sae


def _encode(sae: SparseAutoencoder, tokens: Tokens, *, token_threshold: float, device: torch.device, out: Path) -> None:
    found = encode_images(sae, tokens, token_threshold=token_threshold, device=device, what=str(out))
    found.attributes["sae_sha256"] = format.sae_sha256(sae)
    found.save(out)
