"""What the HDF5 files of CLAM, TRIDENT, STAMP, AtlasPatch and this workflow state of their tiles."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np

from histoweave.slides.scanner import UNKNOWN as NO_SCANNER
from histoweave.slides.scanner import Scanner
from histoweave.storage.datasets import dataset
from histoweave.storage.foreign_hdf5 import clean, text
from histoweave.storage.refusal import OK, Refusal

BLOCK_BYTES = 2**24  # of features in memory at a time
_LEAST, _MOST, _LEVELS = 1e-9, 1e12, 64  # numbers that can be a size, a spacing or a magnification; levels of a pyramid
_MOST_NAMES = 8
_STATUS = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Stated:
    """What a file states of its tiles; None where it states nothing.

    Attributes
    ----------
    format: `histoweave`, `trident`, `clam`, `stamp` or `atlaspatch`.
    unit: of the coordinates and of `edge`: level-0 px, or µm.
    edge: edge of a tile on the slide, in `unit`; for CLAM in px of the level `level`.
    tile_px: edge of a tile in px as the encoder's tool cut it.
    overlap_px: overlap of neighbouring tiles in px of `tile_px`, 0 where nothing is stated.
    size_lv0: width and height of the slide in level-0 px.
    level, downsample: pyramid level that the tool read, and its downsample (CLAM, this workflow).
    magnification, target_magnification: nominal, of level 0 and of the tiles (TRIDENT, AtlasPatch).
    mpp, mpp_source: of level 0, scanner: of the slide, and origin_lv0: where QuPath counts its pixels from; in this
        workflow's own files only.
    """

    format: str
    unit: Literal["px", "um"] = "px"
    edge: float | None = None
    tile_px: int | None = None
    overlap_px: int = 0
    size_lv0: tuple[int, int] | None = None
    level: int | None = None
    downsample: float | None = None
    magnification: float | None = None
    target_magnification: float | None = None
    mpp: float | None = None
    mpp_source: str = "none"
    scanner: Scanner = NO_SCANNER
    origin_lv0: tuple[int, int] = (0, 0)


def names_in(group: h5py.Group) -> str:
    """The first names in a file or group, for a message."""
    names = [clean(name, longest=40) for name in itertools.islice(group, _MOST_NAMES + 1)]
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "") if names else "none"


def carry_refusal(file: h5py.File) -> None:
    """Raise the refusal that one of this workflow's own files records, if it records one."""
    status = text(file.attrs.get("status", OK))
    if status != OK:
        if not _STATUS.fullmatch(status):
            raise Refusal("bad_features", f"the file has an attribute 'status' with no meaning here: '{status:.40}'")
        raise Refusal(status, text(file.attrs.get("reason")))


def stated(file: h5py.File) -> Stated:
    """Recognise a file by the names it uses, and read what it states of its tiles.

    Raises
    ------
    Refusal
        `bad_coords` if there is no dataset `coords`, its unit is not stated, or its scale cannot be told.
    """
    coords = dataset(file, "coords")
    if coords is None:
        raise Refusal("bad_coords", "the file has no dataset 'coords', so its tiles have no place on the slide")
    if dataset(file, "feats") is not None or "tile_size_um" in file.attrs:
        return _stamp(file.attrs)
    if "mpp_source" in coords.attrs:
        return _histoweave(coords.attrs)
    if coords.ndim == 2 and coords.shape[1] == 5:
        return _trident(file.attrs, name="atlaspatch")
    if "patch_size_level0" in coords.attrs or "level0_magnification" in coords.attrs:
        return _trident(coords.attrs, name="trident")
    return _clam(coords.attrs)


def number(attributes: Mapping[str, Any], key: str) -> float | None:
    """A positive number; of a pair (one value per axis) the mean. None if absent, or not a number from 1e-9 to 1e12."""
    try:
        value = float(np.mean(np.asarray(attributes.get(key), dtype=np.float64)))
    except (TypeError, ValueError):
        return None
    return value if _LEAST <= value <= _MOST else None


def _whole(attributes: Mapping[str, Any], key: str) -> int | None:
    value = number(attributes, key)
    return None if value is None else round(value)


def _level(attributes: Mapping[str, Any]) -> int | None:
    """A pyramid level, which may be 0."""
    try:
        level = int(np.asarray(attributes.get("patch_level")).item())
    except (TypeError, ValueError, OverflowError):
        return None
    return level if abs(level) < _LEVELS else None


def _size(attributes: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = _whole(attributes, "level0_width"), _whole(attributes, "level0_height")
    return None if width is None or height is None else (width, height)


def _stamp(attributes: Mapping[str, Any]) -> Stated:
    """STAMP's attributes of the file; version 2.0 wrote `tile_size` with a unit, later ones `tile_size_um`."""
    unit, edge_um = text(attributes.get("unit")), number(attributes, "tile_size_um")
    if edge_um is None and unit == "um":
        edge_um = number(attributes, "tile_size")
    if edge_um is None or unit not in ("um", ""):
        raise Refusal(
            "bad_coords",
            "the file looks like STAMP's but does not state its coordinates in µm (STAMP before 2.0 did not); "
            "extract it again with a current version of STAMP",
        )
    return Stated("stamp", unit="um", edge=edge_um, tile_px=_whole(attributes, "tile_size_px"))


def _histoweave(attributes: Mapping[str, Any]) -> Stated:
    return Stated(
        "histoweave",
        edge=number(attributes, "patch_size_level0"),
        tile_px=_whole(attributes, "patch_size"),
        overlap_px=_whole(attributes, "overlap") or 0,
        size_lv0=_size(attributes),
        level=_level(attributes),
        downsample=number(attributes, "downsample"),
        magnification=number(attributes, "level0_magnification"),
        target_magnification=number(attributes, "target_magnification"),
        mpp=number(attributes, "level0_mpp"),
        mpp_source=text(attributes["mpp_source"]),
        scanner=Scanner(
            text(attributes.get("scanner_vendor")),
            text(attributes.get("scanner_model")),
            number(attributes, "objective_power") or math.nan,
        ),
        origin_lv0=(_whole(attributes, "bounds_x_lv0") or 0, _whole(attributes, "bounds_y_lv0") or 0),
    )


def _trident(attributes: Mapping[str, Any], *, name: str) -> Stated:
    """TRIDENT's attributes of `coords`, which AtlasPatch writes to the file; the first versions had no level-0 edge."""
    tile_px = _whole(attributes, "patch_size")
    magnification, target = number(attributes, "level0_magnification"), number(attributes, "target_magnification")
    edge = number(attributes, "patch_size_level0")
    if edge is None and tile_px is not None and magnification is not None and target is not None:
        edge = round(tile_px * magnification / target)
    return Stated(
        name,
        edge=edge,
        tile_px=tile_px,
        overlap_px=_whole(attributes, "overlap") or 0,
        size_lv0=_size(attributes),
        magnification=magnification,
        target_magnification=target,
    )


def _clam(attributes: Mapping[str, Any]) -> Stated:
    """CLAM's attributes of `coords`: a size at a pyramid level. Its feature files have none."""
    if (number(attributes, "custom_downsample") or 1) != 1:
        raise Refusal(
            "bad_coords",
            "custom_downsample is not 1: tools differ in what patch_size then means; "
            "cut the patches again with custom_downsample 1",
        )
    tile_px, level = _whole(attributes, "patch_size"), _level(attributes)
    if level is None:
        return Stated("clam")
    return Stated(
        "clam",
        edge=tile_px,
        tile_px=tile_px,
        level=level,
        downsample=number(attributes, "downsample"),
    )
