"""Tile coordinates that another tool made, in place of our own tiling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from histoweave.interop.formats import carry_refusal, stated
from histoweave.interop.places import check_scale, coords_lv0, edge_lv0
from histoweave.settings.tiles import Tiles
from histoweave.slides.reader import coarsest_level
from histoweave.slides.scanner import UNKNOWN as NO_SCANNER
from histoweave.slides.scanner import Scanner
from histoweave.slides.spacing import Spacing, objection
from histoweave.slides.store import TileTable, tile_attributes
from histoweave.storage.datasets import dataset, member
from histoweave.storage.foreign_hdf5 import open_h5
from histoweave.storage.refusal import Refusal

logger = logging.getLogger(__name__)


def given_tiles(
    slide: str,
    coords_file: Path,
    *,
    size_lv0: tuple[int, int],
    origin_lv0: tuple[int, int] = (0, 0),
    spacing: Spacing,
    scanner: Scanner = NO_SCANNER,
    downsamples: Sequence[float],
    settings: Tiles,
) -> TileTable:
    """Take the tiles of a coordinates file of CLAM, TRIDENT, STAMP, AtlasPatch or this workflow.

    Parameters
    ----------
    size_lv0, origin_lv0: width and height of the slide, and where QuPath counts pixels from, in level-0 px.
    spacing: of level 0; anything that `spacing.objection` objects to is refused here too. scanner: of the slide.
    downsamples: of the slide's levels. Pixels are read by this workflow's own rule, from the coarsest level that
        is not coarser than the tile.

    Returns
    -------
    A table with source `coords_file`, sorted by y, then x. `tissue_fraction` is NaN, for it is not known, except
    from a file of this workflow. `patch_size` is the file's own, `target_mpp` the µm per px that it amounts to.

    Raises
    ------
    Refusal
        `missing_file` or `unreadable` for the file, `no_tissue` if it holds no tiles, `bad_coords` if the tiles are
        not on this slide or not of the cohort's physical size, an own file's status if it records a refused slide.
    """
    against = objection(spacing, settings)
    if against is not None:
        raise against
    with open_h5(Path(coords_file)) as file:
        carry_refusal(file)
        if member(file, "tile_file") is not None:
            raise Refusal("bad_coords", "the file is of a folder of ready-made tiles, not of a slide")
        told = stated(file)
        coords = coords_lv0(dataset(file, "coords"), stated=told, mpp=spacing.mpp, size_lv0=size_lv0)
        own_share = dataset(file, "tissue_fraction") if told.format == "histoweave" else None
        share = np.full(len(coords), np.nan, np.float32) if own_share is None else own_share[()]
        if share.shape != (len(coords),) or share.dtype.kind != "f":
            raise Refusal("bad_coords", f"{len(coords)} tiles, but tissue_fraction has shape {share.shape}")
        edge = edge_lv0(told, mpp=spacing.mpp, downsamples=downsamples)
    if not edge:
        raise Refusal(
            "bad_coords",
            "the file does not state the size of its tiles (CLAM's feature files do not); "
            "give the file that the tiling step wrote, such as CLAM's patches/<slide>.h5",
        )
    check_scale(edge_lv0=edge, mpp=spacing.mpp, tile_px=told.tile_px, stated=told, settings=settings)
    tile_px = told.tile_px or settings.tile_px
    level = coarsest_level(downsamples, wanted=edge / tile_px, tolerance=settings.mpp_tolerance)
    attributes = tile_attributes(
        slide=slide,
        tile_px=tile_px,
        target_mpp=spacing.mpp * edge / tile_px,
        overlap_px=told.overlap_px,
        spacing=spacing,
        scanner=scanner,
        size_lv0=size_lv0,
        origin_lv0=origin_lv0,
        edge_lv0=edge,
        level=level,
        downsample=float(downsamples[level]),
    )
    logger.info("%s: %d tiles from %s (%s)", slide, len(coords), coords_file, told.format)
    order = np.lexsort((coords[:, 0], coords[:, 1]))
    return TileTable(slide, "coords_file", attributes, coords=coords[order], tissue_fraction=share[order])
