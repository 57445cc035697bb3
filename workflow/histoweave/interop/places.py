"""Checks that tiles made elsewhere are where they claim to be, at the scale that the cohort asks for."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from histoweave.interop.formats import Stated
from histoweave.settings.tiles import Tiles
from histoweave.slides.store import NOMINAL_MAGNIFICATION_UM
from histoweave.storage.refusal import Refusal

MAX_DOWNSAMPLE_ERROR = 0.02
MAX_TILES = 5_000_000  # of one slide; the largest slides have a tenth of that, with tiles that overlap by half
_MAX_COLUMNS = 64
_LARGEST_PX = 10**9  # no slide is that wide


def edge_lv0(stated: Stated, *, mpp: float | None, downsamples: Sequence[float] | None) -> int | None:
    """Edge of a tile in level-0 px; None where the file states too little.

    CLAM counts the edge at a level of the pyramid, all others at level 0.

    Raises
    ------
    Refusal
        `bad_coords` if CLAM's level is not one of the slide, or has another downsample there.
    """
    if stated.edge is None:
        return None
    if stated.unit == "um":
        return round(stated.edge / mpp) if mpp is not None else None
    if stated.format != "clam":
        return round(stated.edge)
    downsample = stated.downsample
    if downsamples is not None:
        assert stated.level is not None  # CLAM's edge is one at a level
        if not 0 <= stated.level < len(downsamples):
            raise Refusal("bad_coords", f"patch_level {stated.level}: the slide has {len(downsamples)} levels only")
        of_slide = downsamples[stated.level]
        if downsample is not None and abs(downsample / of_slide - 1) > MAX_DOWNSAMPLE_ERROR:
            raise Refusal(
                "bad_coords",
                f"downsample {downsample:.4g} of level {stated.level} is {of_slide:.4g} in the slide; "
                "the file is of another slide",
            )
        downsample = of_slide
    if downsample is None and stated.level == 0:
        downsample = 1.0
    return None if downsample is None else round(stated.edge * downsample)


def coords_lv0(
    dataset: h5py.Dataset, *, stated: Stated, mpp: float | None, size_lv0: tuple[int, int] | None
) -> np.ndarray:
    """Top-left corners in level-0 px: (N,2) int64, in the order of the file.

    A corner has to lie on the slide; the tile may hang over the right and lower edge, as CLAM's, TRIDENT's and
    STAMP's do. Coordinates in µm are rounded to the nearest px.

    Raises
    ------
    Refusal
        `no_tissue` without rows, `no_mpp` for µm on a slide without a spacing, else `bad_coords`.
    """
    shape = dataset.shape[1:] if dataset.ndim == 3 and dataset.shape[0] == 1 else dataset.shape
    if len(shape) != 2 or shape[1] < 2 or dataset.dtype.kind not in "iuf":
        raise Refusal("bad_coords", f"coords has shape {dataset.shape} and type {dataset.dtype}, not N rows of x and y")
    if not shape[0]:
        raise Refusal("no_tissue", "the file holds no tiles")
    if shape[0] > MAX_TILES or shape[1] > _MAX_COLUMNS:
        raise Refusal(
            "bad_coords", f"coords has shape {dataset.shape}, more than a slide has tiles (up to {MAX_TILES})"
        )
    if stated.size_lv0 is not None and size_lv0 is not None and stated.size_lv0 != tuple(size_lv0):
        raise Refusal(
            "bad_coords",
            f"the file is of a slide of {_times(stated.size_lv0)} px, this one has {_times(size_lv0)} px at level 0",
        )
    xy = dataset[()].reshape(shape)[:, :2]
    _refuse_row(~np.isfinite(xy).all(axis=1), xy, "is not finite")
    _refuse_row((np.abs(xy.astype(np.float64)) > _LARGEST_PX).any(axis=1), xy, "is farther out than any slide reaches")
    if xy.dtype.kind == "f" and (stated.unit != "um" or xy.dtype.itemsize < 4):
        exact = 2 ** (np.finfo(xy.dtype).nmant + 1)
        _refuse_row((np.abs(xy) >= exact).any(axis=1), xy, f"is rounded: {xy.dtype.name} is exact below {exact} only")
    if stated.unit == "um":
        if mpp is None:
            raise Refusal(
                "no_mpp",
                "coordinates are in µm and the spacing is not known; give it in column mpp of the slides table",
            )
        xy = np.rint(xy.astype(np.float64) / mpp)
    _refuse_row((xy != np.floor(xy)).any(axis=1), xy, "is not whole level-0 px")
    _refuse_row((xy < 0).any(axis=1), xy, "is off the slide")
    size_lv0 = size_lv0 or stated.size_lv0
    if size_lv0 is not None:
        _refuse_row((xy >= size_lv0).any(axis=1), xy, f"is off the slide of {_times(size_lv0)} px")
    coords = xy.astype(np.int64)
    _refuse_row(_repeated(coords), coords, "occurs twice; keep one row per tile")
    return coords


def check_scale(
    *, edge_lv0: int | None, mpp: float | None, tile_px: int | None, stated: Stated, settings: Tiles
) -> None:
    """Refuse tiles of another physical size than the cohort's, as far as the size is known.

    Without µm per px the nominal magnification counts, if one is stated.

    Raises
    ------
    Refusal
        `bad_coords`, with both sizes and the settings that take these tiles.
    """
    if mpp is not None and edge_lv0 is not None:
        edge_um, how = edge_lv0 * mpp, ""
    elif stated.target_magnification is not None and tile_px is not None:
        edge_um, how = tile_px * NOMINAL_MAGNIFICATION_UM / stated.target_magnification, " by the magnification stated"
    else:
        return
    asked_um = settings.tile_px * settings.target_mpp
    if abs(edge_um / asked_um - 1) > settings.mpp_tolerance:
        px = tile_px or settings.tile_px
        raise Refusal(
            "bad_coords",
            f"tiles are {edge_um:.4g} µm wide{how}, the cohort's {asked_um:.4g} µm ({settings.tile_px} px at "
            f"{settings.target_mpp:g} µm per px), and scales are not mixed; to take these, set tiles.tile_px: {px} and "
            f"tiles.target_mpp: {edge_um / px:.4g} for all slides, or cut the tiles again",
        )


def _repeated(coords: np.ndarray) -> np.ndarray:
    """(N,) bool: True for every row that an earlier row equals."""
    _, first = np.unique(coords, axis=0, return_index=True)
    repeated = np.ones(len(coords), bool)
    repeated[first] = False
    return repeated


def _refuse_row(wrong: np.ndarray, xy: np.ndarray, what: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        more = f" (and {wrong.sum() - 1} more rows)" if wrong.sum() > 1 else ""
        raise Refusal("bad_coords", f"coords, row {row}: ({xy[row, 0]:g}, {xy[row, 1]:g}) {what}{more}")


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
