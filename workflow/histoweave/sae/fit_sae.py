"""Stages that fit a dictionary: on all images of a cohort, or without the test patients of a fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from histoweave.errors import InputError
from histoweave.sae import format
from histoweave.sae.tokens import Tokens, tokens_of
from histoweave.sae.train import fit
from histoweave.settings.sae import Sae
from histoweave.storage.files import read_table, write_table


def fit_stage(*, tokens: Sequence[str], settings: Sae, seed: int, device: torch.device, folder: Path) -> None:
    """Fit a dictionary on every image that has tokens and save it in `folder`, with its history.

    Raises
    ------
    InputError
        if there is nothing to fit on, or tokens hold NaN.
    """
    _fit(tokens_of(tokens), settings=settings, seed=seed, device=device, folder=folder)


def fit_fold_stage(
    *,
    tokens: Sequence[str],
    images: str,
    folds: str,
    fold: int,
    settings: Sae,
    seed: int,
    device: torch.device,
    folder: Path,
) -> None:
    """Fit a dictionary without the test patients of a fold and save it, with its history.

    Images that are in no fold, having no label, are fitted on too: no label is used.

    Raises
    ------
    InputError
        as `fit_stage`.
    """
    usable = read_table(images).query("status == 'ok'")
    assigned = read_table(folds)
    tested = set(assigned.loc[(assigned["fold"] == fold) & (assigned["role"] == "test"), "patient"])
    kept = tokens_of(tokens).select(usable.loc[~usable["patient"].isin(tested), "image"])
    _fit(kept, settings=settings, seed=seed, device=device, folder=folder)


def _fit(tokens: Tokens, *, settings: Sae, seed: int, device: torch.device, folder: Path) -> None:
    if not tokens.blocks:
        raise InputError(f"{folder}: no image is left to fit a sparse autoencoder on; see images.parquet beside it")
    sae, history = fit(tokens, settings=settings, seed=seed, device=device)
    format.save(sae, folder)
    write_table(folder / "history.parquet", history)
