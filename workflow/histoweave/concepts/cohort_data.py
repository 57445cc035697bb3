"""Reads what scores are made from: a cohort's images, their tokens, and what a dictionary finds in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.encode_images import encode_images
from histoweave.concepts.images import usable
from histoweave.concepts.representations import ImageData, random_dictionary, token_means
from histoweave.errors import InputError
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens, read_features, tokens_of
from histoweave.storage.files import read_table

Path = str | os.PathLike


@dataclass(frozen=True, kw_only=True, eq=False)
class CohortImages:
    """The usable images of a cohort: rows of the images table, tokens, and `means` and `features` of `ImageData`."""

    images: pd.DataFrame
    tokens: Tokens
    means: np.ndarray
    features: np.ndarray | None


def read_usable(images: Path) -> pd.DataFrame:
    """The rows of an images table that have tokens.

    Raises
    ------
    InputError
        if there are none.
    """
    table = usable(read_table(images))
    if table.empty:
        raise InputError(f"{images}: no image has status ok, so there is nothing to score; see column 'reason'")
    return table


def read_images(images: Path, tokens: Sequence[str]) -> CohortImages:
    """Read a cohort, its tokens in shards of cells or in what the indexes of feature shards name (`tokens_of`).

    Raises
    ------
    InputError
        if no image is usable, or naming one whose status is `ok` and that has no tokens.
    """
    table = read_usable(images)
    shards = [path for path in tokens if path.endswith(".h5")]
    found = tokens_of(tokens).select(table["image"])
    if missing := sorted(set(table["image"]) - set(found.images)):
        raise InputError(f"{images}: image '{missing[0]}' has status ok but no tokens; embed the cohort again")
    return CohortImages(
        images=table.set_index("image").loc[found.images].reset_index(),
        tokens=found,
        means=token_means(found),
        features=read_features(shards, found.images) if shards else None,
    )


def read_activations(path: Path, images: Sequence[str]) -> ImageActivations:
    """The activations of `images`, in their order.

    Raises
    ------
    InputError
        naming an image that was not encoded.
    """
    found = ImageActivations.load(path)
    if missing := sorted(set(images) - set(found.images)):
        raise InputError(f"{path}: image '{missing[0]}' was not encoded; encode the cohort again")
    return found.of(images)


def with_dictionary(
    cohort: CohortImages,
    concepts: ImageActivations,
    sae: SparseAutoencoder,
    *,
    active: int,
    token_threshold: float,
    seed: int,
    device: torch.device,
) -> ImageData:
    """The images seen through a dictionary and, encoded here, through its random twin of `active` latents per token."""
    twin = random_dictionary(sae, active=active, seed=seed)
    random = encode_images(twin, cohort.tokens, token_threshold=token_threshold, device=device)
    return ImageData(
        tokens=cohort.tokens, means=cohort.means, features=cohort.features, concepts=concepts, random=random
    )
