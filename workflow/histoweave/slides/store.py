"""The tile file of a slide: `tiles/<slide>.h5`, written whole and read back."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from histoweave.slides.bounds import as_attributes, origin_of
from histoweave.slides.scanner import UNKNOWN as NO_SCANNER
from histoweave.slides.scanner import Scanner
from histoweave.slides.spacing import UNKNOWN, Spacing
from histoweave.storage.files import atomic_path
from histoweave.storage.hdf5 import new_hdf5
from histoweave.storage.refusal import OK

NOMINAL_MAGNIFICATION_UM = 10.0


@dataclass(frozen=True)
class TileTable:
    """The tiles of one slide, as in `docs/artefacts.md`.

    `coords` (N,2) int64 in level-0 px, `tissue_fraction` (N,) float32, `attributes` those of `coords`,
    `tile_file` the N files of a folder of ready-made tiles, None for a slide, `pen_share` the share of the stained area
    that has the colours of marker ink, NaN where nobody looked for it.
    """

    slide: str
    source: str
    attributes: dict[str, Any]
    status: str = OK
    reason: str = ""
    coords: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    tissue_fraction: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    tile_file: tuple[str, ...] | None = None
    pen_share: float = math.nan

    @property
    def origin_lv0(self) -> tuple[int, int]:
        """Where QuPath counts pixels from, in level-0 px."""
        return origin_of(self.attributes)

    def sha256(self) -> str:
        """Hash of everything that the tiles of this slide are."""
        known = [self.slide, self.source, self.status, self.reason, self.tile_file, repr(self.pen_share)]
        attributes = {key: repr(value) for key, value in self.attributes.items()}
        digest = hashlib.sha256(json.dumps([known, attributes], sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.coords).tobytes())
        digest.update(np.ascontiguousarray(self.tissue_fraction).tobytes())
        return digest.hexdigest()


def tile_attributes(
    *,
    slide: str,
    tile_px: int,
    target_mpp: float,
    overlap_px: int,
    spacing: Spacing = UNKNOWN,
    scanner: Scanner = NO_SCANNER,
    size_lv0: tuple[int, int] = (0, 0),
    origin_lv0: tuple[int, int] = (0, 0),
    edge_lv0: int = 0,
    level: int = 0,
    downsample: float = 1.0,
) -> dict[str, int | float | str]:
    """Attributes of `coords`, with the names that CLAM and TRIDENT use.

    `patch_size` and `overlap` are px at `target_mpp` (TRIDENT's meaning); `patch_level` and `downsample`
    say which level the pixels are read from. `bounds_x_lv0` and `bounds_y_lv0` are `origin_lv0`
    (`bounds.bounds_origin`), our own. A magnification is nominal: 10 µm per px divided by the
    spacing. What is not known of a refused slide is 0 or NaN. The scanner's are our own (`Scanner.attributes`).
    """
    return {
        "name": slide,
        "patch_size": tile_px,
        "patch_size_level0": edge_lv0,
        "patch_level": level,
        "downsample": downsample,
        "level0_width": size_lv0[0],
        "level0_height": size_lv0[1],
        "level0_magnification": _magnification(spacing.mpp),
        "target_magnification": _magnification(target_mpp),
        "overlap": overlap_px,
        "target_mpp": target_mpp,
        "level0_mpp": spacing.mpp,
        "mpp_source": spacing.source,
        **as_attributes(origin_lv0),
        **scanner.attributes(),
    }


def _magnification(mpp: float) -> float:
    return NOMINAL_MAGNIFICATION_UM / mpp if mpp > 0 else math.nan


def write_tiles(path: str | os.PathLike, tiles: TileTable) -> None:
    """Write a tile file, whole or not at all."""
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        file.attrs.update(slide=tiles.slide, source=tiles.source, status=tiles.status, reason=tiles.reason)
        file.attrs["pen_share"] = tiles.pen_share
        file.attrs["tiles_sha256"] = tiles.sha256()
        coords = file.create_dataset("coords", data=tiles.coords)
        coords.attrs.update(tiles.attributes)
        file.create_dataset("tissue_fraction", data=tiles.tissue_fraction)
        if tiles.tile_file is not None:
            file.create_dataset("tile_file", data=list(tiles.tile_file), dtype=h5py.string_dtype())


def read_tiles(path: str | os.PathLike) -> TileTable:
    """Read a tile file; attributes come back as Python values."""
    with h5py.File(path, "r") as file:
        attributes = {
            key: value.item() if isinstance(value, np.generic) else value for key, value in file["coords"].attrs.items()
        }
        tile_file = tuple(file["tile_file"].asstr()[()]) if "tile_file" in file else None
        return TileTable(
            slide=file.attrs["slide"],
            source=file.attrs["source"],
            status=file.attrs["status"],
            reason=file.attrs["reason"],
            attributes=attributes,
            coords=file["coords"][()],
            tissue_fraction=file["tissue_fraction"][()],
            tile_file=tile_file,
            pen_share=float(file.attrs.get("pen_share", math.nan)),
        )
