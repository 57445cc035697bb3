"""The stage that encodes a cohort with a dictionary."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from histoweave.concepts.activations import encode_images
from histoweave.sae import format
from histoweave.tokens import tokens_of


def encode_stage(
    *,
    sae: str | os.PathLike,
    tokens: Sequence[str],
    token_threshold: float,
    device: torch.device,
    out: str | os.PathLike,
) -> None:
    """Encode a cohort with the dictionary in the folder `sae` and save its activations.

    Raises
    ------
    InputError
        if the dictionary cannot be read or does not fit the tokens.
    """
    dictionary = format.load(sae)
    found = encode_images(dictionary, tokens_of(tokens), token_threshold=token_threshold, device=device, what=str(out))
    found.attributes["sae_sha256"] = format.sae_sha256(dictionary)
    found.save(out)
