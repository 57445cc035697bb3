"""Where in an image a concept is active: one byte per token, and where the tokens lie."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from histoweave.concepts.encode_images import patch_maps
from histoweave.pages.concepts.inputs import CohortFiles
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens, cell_blocks, slide_blocks

MAX_SQUARES = 1024


@dataclass(frozen=True)
class TokenMap:
    """Activations (T,) float32 of a concept in an image, and the layout of its T places as plain values.

    A layout is `{"rows", "columns"}`, row-major over the whole picture, or `{"places", "width", "height"}`: base64 of
    uint16 pairs (x, y of each square's corner, 65535 = the picture's far edge) and a square's share of the edges.
    """

    values: np.ndarray
    layout: Mapping[str, Any]


def token_maps(
    sae: SparseAutoencoder, files: CohortFiles, latents: Mapping[str, Iterable[int]]
) -> dict[tuple[str, int], TokenMap]:
    """The maps of some latents in some images of a cohort; images whose tokens have no place in a picture have none."""
    cells = {block.image: block for path in files.shards for block in cell_blocks(str(path)) if block.image in latents}
    slides = slide_blocks({slide: str(path) for slide, path in files.features.items() if slide in latents})
    blocks = [*cells.values(), *slides]
    found = patch_maps(sae, Tokens(blocks), {block.image: latents[block.image] for block in blocks})
    grids = {path: _grid(path) for path in {block.path for block in cells.values()}}
    squares = {block.image: _Squares(Path(block.path)) for block in slides}
    maps = {}
    for (image, latent), values in found.items():
        if image in squares:
            maps[image, latent] = TokenMap(squares[image].peaks(values), squares[image].layout)
            continue
        first, rows, columns = grids[cells[image].path]
        if rows * columns:
            patches = values[first : first + rows * columns]
            maps[image, latent] = TokenMap(patches, {"rows": rows, "columns": columns})
    return maps


def _grid(path: str) -> tuple[int, int, int]:
    """Tokens before the patches, rows and columns of the patches, of a shard of cells."""
    with h5py.File(path) as file:
        rows, columns = (int(value) for value in file.attrs["grid"])
        return int(file.attrs["prefix_tokens"]), rows, columns


class _Squares:
    """The tiles of a slide, neighbours merged until at most `MAX_SQUARES` are left (2, 4, ... tiles along an edge)."""

    def __init__(self, path: Path):
        with h5py.File(path) as file:
            coords = file["coords"]
            corners = coords[:].astype(np.int64)
            edge = int(coords.attrs["patch_size_level0"])
            size = np.array([coords.attrs["level0_width"], coords.attrs["level0_height"]], dtype=np.float64)
        squares, self._square_of_tile = np.unique(corners, axis=0, return_inverse=True)
        while len(squares) > MAX_SQUARES:
            edge *= 2
            squares, self._square_of_tile = np.unique(corners // edge * edge, axis=0, return_inverse=True)
        places = np.clip(np.rint(squares / size * 65535), 0, 65535).astype("<u2")
        self.layout = {
            "places": base64.b64encode(places.tobytes()).decode("ascii"),
            "width": round(edge / size[0], 6), "height": round(edge / size[1], 6),
        }  # fmt: skip

    def peaks(self, values: np.ndarray) -> np.ndarray:
        """The largest of `values` (one per tile) in each square."""
        peaks = np.zeros(self._square_of_tile.max() + 1, dtype=np.float32)
        np.maximum.at(peaks, self._square_of_tile.ravel(), values)
        return peaks


def as_bytes(maps: Sequence[TokenMap]) -> list[str]:
    """The maps of one concept as base64 of a byte per place: 0 is no activation, 255 the largest of all these maps."""
    peak = max((float(each.values.max(initial=0)) for each in maps), default=0.0) or 1.0
    scaled = [np.rint(np.clip(each.values / peak, 0, 1) * 255).astype(np.uint8) for each in maps]
    return [base64.b64encode(values.tobytes()).decode("ascii") for values in scaled]
