"""Reads what scores are made from: a cohort's images, their tokens, and what a dictionary finds in them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import h5py
import numpy as np
import pandas as pd
import torch

from histoweave.concepts.activations import ImageActivations, encode_images
from histoweave.concepts.representations import ImageData, random_dictionary, token_means
from histoweave.concepts.splits import usable
from histoweave.errors import InputError
from histoweave.io import read_table
from histoweave.sae.model import SparseAutoencoder
from histoweave.shards import artefacts
from histoweave.tokens import Tokens, cell_blocks, slide_blocks

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


def read_images(images: Path, *, shards: Sequence[Path] = (), slides: Mapping[str, Path] | None = None) -> CohortImages:
    """Read a cohort from shard files of cells, or from feature files of slides (slide → path).

    Raises
    ------
    InputError
        if no image is usable, or naming one whose status is `ok` and that has no tokens.
    """
    table = read_usable(images)
    blocks = [block for shard in shards for block in cell_blocks(str(shard))]
    blocks += slide_blocks({slide: str(path) for slide, path in (slides or {}).items()})
    tokens = Tokens(blocks).select(table["image"])
    if missing := sorted(set(table["image"]) - set(tokens.images)):
        raise InputError(f"{images}: image '{missing[0]}' has status ok but no tokens; embed the cohort again")
    return CohortImages(
        images=table.set_index("image").loc[tokens.images].reset_index(),
        tokens=tokens,
        means=token_means(tokens),
        features=None if slides is not None else _features(shards, tokens.images),
    )


def read_cohort(images: Path, tokens: Sequence[str]) -> CohortImages:
    """As `read_images`, from shards of cells (.h5), or the indexes of shards of tile features (.json)."""
    indexes = [path for path in tokens if path.endswith(".json")]
    shards = [path for path in tokens if path.endswith(".h5")]
    return read_images(images, shards=shards, slides=artefacts(indexes) if indexes else None)


def _features(shards: Sequence[Path], images: list[str]) -> np.ndarray:
    """The encoder's own embedding (N,P) float32 of `images`."""
    cells, parts = [], []
    for shard in shards:
        with h5py.File(shard) as file:
            cells += file["cell"].asstr()[:].tolist()
            parts.append(file["features"][:].astype(np.float32))
    return np.concatenate(parts)[pd.Index(cells).get_indexer(images)]


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
