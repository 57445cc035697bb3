"""The stage that encodes a cohort with a dictionary."""

from __future__ import annotations

import os
from collections.abc import Sequence

import h5py
import torch

from histoweave.concepts.encode_images import encode_images
from histoweave.errors import InputError
from histoweave.sae import format
from histoweave.sae.tokens import tokens_of
from histoweave.storage.records import artefacts


def slide_encoders(indexes: Sequence[str]) -> dict[tuple[str, str], str]:
    """(encoder, SHA-256 of its weights) → the first slide with such features, of indexes of feature shards."""
    found: dict[tuple[str, str], str] = {}
    for slide, path in artefacts(indexes).items():
        with h5py.File(path) as file:
            if len(file["features"]):
                made = file["features"].attrs
                found.setdefault((str(made["encoder"]), str(made["weights_sha256"])), slide)
    return found


def check_encoders(tokens: Sequence[str], fitted_on: Sequence[str]) -> None:
    """
    Raises
    ------
    InputError
        naming a slide whose features come from another encoder, or from other weights, than the dictionary's. Weights
        that a file made elsewhere does not name are not compared.
    """
    ours = slide_encoders(fitted_on)
    for (encoder, weights), slide in slide_encoders(tokens).items():
        if any(encoder == name and (weights == known or not weights or not known) for name, known in ours):
            continue
        (name, known), _ = next(iter(ours.items()))
        raise InputError(
            f"features of slide '{slide}' come from encoder '{encoder}' (weights {weights[:8] or 'unknown'}), the "
            f"dictionary was fitted on '{name}' (weights {known[:8] or 'unknown'}); extract them with the same encoder, or "
            "take the cohort out of the configuration"
        )


def encode_stage(
    *,
    sae: str | os.PathLike,
    tokens: Sequence[str],
    fitted_on: Sequence[str] = (),
    token_threshold: float,
    device: torch.device,
    out: str | os.PathLike,
) -> None:
    """Encode a cohort with the dictionary in the folder `sae` and save its activations.

    Parameters
    ----------
    tokens : as `tokens_of` takes them. fitted_on : those of the dictionary's own cohort, to be held against; none for
        that cohort itself, and for cells, which a run embeds all alike.

    Raises
    ------
    InputError
        if the dictionary cannot be read or does not fit the tokens, or these were made by another encoder.
    """
    if fitted_on:
        check_encoders(tokens, fitted_on)
    dictionary = format.load(sae)
    found = encode_images(dictionary, tokens_of(tokens), token_threshold=token_threshold, device=device, what=str(out))
    found.attributes["sae_sha256"] = format.sae_sha256(dictionary)
    found.save(out)
