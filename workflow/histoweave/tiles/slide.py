"""The tiling stage of one slide: status, tile coordinates, contours, thumbnail."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import Polygon

from histoweave.errors import InputError
from histoweave.interop.coords import given_tiles
from histoweave.interop.features import given_features
from histoweave.settings.base import OnError
from histoweave.settings.tiles import Tiles
from histoweave.slides.bounds import bounds_origin
from histoweave.slides.grid import grid_lv0, tile_geometry, tissue_fraction
from histoweave.slides.illumination import not_brightfield
from histoweave.slides.outlines import THUMBNAIL_PX, text_picture, thumbnail, write_geojson, write_png
from histoweave.slides.reader import Overview, open_slide, properties_of, read_overview
from histoweave.slides.scanner import scanner_of
from histoweave.slides.spacing import UNKNOWN, Spacing, level0_spacing, objection
from histoweave.slides.store import TileTable, tile_attributes, write_tiles
from histoweave.slides.tile_folder import is_tile_folder, tile_folder
from histoweave.slides.tissue import downsamples, find_tissue, polygons_of
from histoweave.storage.refusal import OK, Refusal

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tiling:
    """A slide's tiles, its tissue polygons in level-0 px, and a picture (H,W,3) uint8 of it."""

    table: TileTable
    polygons: Sequence[Polygon]
    picture: np.ndarray


def tile_slide(
    *,
    slide: str,
    path: str,
    mpp: float | None,
    settings: Tiles,
    on_error: OnError,
    out_h5: str | os.PathLike,
    out_geojson: str | os.PathLike,
    out_png: str | os.PathLike,
    coords: str = "",
    features: str = "",
) -> str:
    """Tile one slide, or take tiles that were made elsewhere, and write the three files of `docs/artefacts.md`.

    Parameters
    ----------
    path: a slide, a folder of DICOM files, or a folder of tile images; empty for features without a slide.
    mpp: µm per level-0 px, over what the file says; None to believe the file.
    coords, features: a file of tile coordinates or of tile features that another tool made; empty without one.

    Returns
    -------
    The status; a slide that cannot be used is written too, without tiles.

    Raises
    ------
    InputError
        with `on_error="stop"` for a status other than `ok`; nothing is written then.
    """
    place = Path(path)
    if features:
        tiling = _tiles_of_features(slide=slide, file=Path(features), mpp=mpp, settings=settings)
    elif is_tile_folder(place):
        tiling = _tile_ready_made(slide=slide, folder=place, mpp=mpp, settings=settings)
    else:
        tiling = _tile_whole_slide(slide=slide, path=place, mpp=mpp, settings=settings, coords=coords)
    table = tiling.table
    if table.status != OK and on_error == "stop":
        raise InputError(f"slide '{slide}' ({path}): {table.status}: {table.reason} (on_error is 'stop')")
    _write(tiling, out_h5=out_h5, out_geojson=out_geojson, out_png=out_png)
    return table.status


def refuse_slide(
    *,
    slide: str,
    settings: Tiles,
    status: str,
    reason: str,
    out_h5: str | os.PathLike,
    out_geojson: str | os.PathLike,
    out_png: str | os.PathLike,
) -> None:
    """Write the three files of a slide that cannot be used, for a reason that is known already."""
    refusal = Refusal(status, reason)
    table = _refused(slide, "slide", settings=settings, refusal=refusal)
    tiling = Tiling(table, [], text_picture(f"{slide}: {refusal.reason}"))
    _write(tiling, out_h5=out_h5, out_geojson=out_geojson, out_png=out_png)


def _write(
    tiling: Tiling, *, out_h5: str | os.PathLike, out_geojson: str | os.PathLike, out_png: str | os.PathLike
) -> None:
    write_geojson(out_geojson, tiling.polygons, origin_lv0=tiling.table.origin_lv0)
    write_png(out_png, tiling.picture)
    write_tiles(out_h5, tiling.table)


def _refused(slide: str, source: str, *, settings: Tiles, refusal: Refusal, **known: Any) -> TileTable:
    """The table of a slide that cannot be used; `known` holds what is known of it all the same."""
    attributes = tile_attributes(
        slide=slide,
        tile_px=settings.tile_px,
        target_mpp=settings.target_mpp,
        overlap_px=settings.overlap_px,
        **known,
    )
    return TileTable(
        slide, source, attributes, status=refusal.status, reason=refusal.reason, pen_share=refusal.pen_share
    )


def _tile_ready_made(*, slide: str, folder: Path, mpp: float | None, settings: Tiles) -> Tiling:
    try:
        table, area, picture = tile_folder(slide=slide, folder=folder, mpp=mpp, settings=settings)
    except Refusal as refusal:
        table = _refused(slide, "tile_folder", settings=settings, refusal=refusal)
        return Tiling(replace(table, tile_file=()), [], text_picture(f"{slide}: {refusal.reason}"))
    return Tiling(table, polygons_of(area), picture)


def _tiles_of_features(*, slide: str, file: Path, mpp: float | None, settings: Tiles) -> Tiling:
    spacing = UNKNOWN if mpp is None else Spacing(mpp, mpp, "override")
    try:
        table = given_features(slide, file, settings=settings, spacing=spacing).tile_table()
    except Refusal as refusal:
        table = _refused(slide, "features_file", settings=settings, refusal=refusal, spacing=spacing)
        return Tiling(table, [], text_picture(f"{slide}: {refusal.reason}"))
    return Tiling(table, _outlines(table), text_picture(f"{slide}: {len(table.coords)} tiles of {file.name}"))


def _outlines(table: TileTable) -> list[Polygon]:
    """The area of all tiles, for tiles that came without contours."""
    edge_lv0 = table.attributes["patch_size_level0"]
    return polygons_of(shapely.union_all(shapely.box(*table.coords.T, *(table.coords + edge_lv0).T)))


def _tile_whole_slide(*, slide: str, path: Path, mpp: float | None, settings: Tiles, coords: str) -> Tiling:
    try:
        handle = open_slide(path)
        properties = properties_of(handle)
    except Refusal as refusal:
        table = _refused(slide, "slide", settings=settings, refusal=refusal)
        return Tiling(table, [], text_picture(f"{slide}: {refusal.reason}"))
    with handle:
        spacing = level0_spacing(properties, mpp)
        known: dict[str, Any] = {
            "spacing": spacing,
            "scanner": scanner_of(properties),
            "size_lv0": handle.dimensions,
            "origin_lv0": bounds_origin(properties),
        }
        against = not_brightfield(properties) or objection(spacing, settings)
        wanted = [max(1.0, max(handle.dimensions) / THUMBNAIL_PX)]
        if against is None:
            wanted += downsamples(
                size_lv0=handle.dimensions, mpp=spacing.mpp, segmentation_mpp=settings.segmentation_mpp
            )
        picture = None
        try:
            overview = read_overview(handle, downsample=min(wanted))
            picture = thumbnail(overview.rgb)
            if against is not None:
                raise against
            if coords:
                levels = handle.level_downsamples
                table = given_tiles(slide, Path(coords), **known, downsamples=levels, settings=settings)
                return Tiling(table, _outlines(table), picture)
            table, polygons = _tiles_of_tissue(
                slide, handle.level_downsamples, overview, known=known, settings=settings
            )
            return Tiling(table, polygons, picture)
        except Refusal as refusal:
            table = _refused(slide, "slide", settings=settings, refusal=refusal, **known)
            shown = picture if picture is not None else text_picture(f"{slide}: {refusal.reason}")
            return Tiling(table, [], shown)


def _tiles_of_tissue(
    slide: str, level_downsamples: Sequence[float], overview: Overview, *, known: dict[str, Any], settings: Tiles
) -> tuple[TileTable, list[Polygon]]:
    """The tiles of a grid that hold enough tissue, and the tissue's outlines.

    Raises
    ------
    Refusal
        `too_small`, `no_tissue`, or what `find_tissue` refuses.
    """
    (width_lv0, height_lv0), mpp = known["size_lv0"], known["spacing"].mpp
    geometry = tile_geometry(mpp=mpp, downsamples=level_downsamples, settings=settings)
    if geometry.edge_lv0 > min(width_lv0, height_lv0):
        raise Refusal("too_small", f"{width_lv0} x {height_lv0} px is smaller than one tile of {geometry.edge_lv0} px")
    tissue = find_tissue(overview, mpp=mpp, settings=settings)
    corners = grid_lv0(width_lv0=width_lv0, height_lv0=height_lv0, geometry=geometry)
    share = tissue_fraction(corners, edge_lv0=geometry.edge_lv0, tissue=tissue)
    kept = share >= settings.min_tissue
    if not kept.any():
        raise Refusal(
            "no_tissue",
            f"no tile has a tissue share of {settings.min_tissue:g} or more",
            pen_share=tissue.pen_share,
        )
    attributes = tile_attributes(
        slide=slide,
        tile_px=settings.tile_px,
        target_mpp=settings.target_mpp,
        overlap_px=settings.overlap_px,
        **known,
        edge_lv0=geometry.edge_lv0,
        level=geometry.level,
        downsample=geometry.downsample,
    )
    table = TileTable(
        slide, "slide", attributes, coords=corners[kept], tissue_fraction=share[kept], pen_share=tissue.pen_share
    )
    return table, tissue.polygons_lv0(width_lv0=width_lv0, height_lv0=height_lv0)
