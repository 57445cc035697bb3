"""Tile features that another tool made, in place of our own encoder."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from histoweave.interop.formats import BLOCK_BYTES, Stated, carry_refusal, names_in, stated
from histoweave.interop.places import MAX_TILES, check_scale, coords_lv0, edge_lv0
from histoweave.settings.tiles import Tiles
from histoweave.slides.spacing import UNKNOWN, Spacing
from histoweave.slides.store import TileTable, tile_attributes
from histoweave.storage.datasets import dataset, member
from histoweave.storage.foreign_hdf5 import LARGEST, open_h5, text
from histoweave.storage.refusal import Refusal

logger = logging.getLogger(__name__)

UNKNOWN_ENCODER = "unknown"


@dataclass(frozen=True)
class GivenFeatures:
    """The features of one slide, checked, still in their file.

    Attributes
    ----------
    format: `histoweave`, `trident`, `clam`, `stamp` or `atlaspatch`.
    coords: (N,2) int64 in level-0 px, one row per feature row, in the order of the file.
    failed_coords: (M,2) int64, tiles that could not be read; only this workflow's own files record them.
    attributes: those of `coords` (`docs/artefacts.md`), unknown values 0 or NaN.
    encoder: name that the file gives, `unknown` if it gives none.
    encoder_attributes: those of `features` in `docs/artefacts.md`, unknown values empty, 0 or NaN.
    dim: length of a feature vector. precision: number format that `blocks` yields.
    """

    slide: str
    file: Path
    dataset: str
    format: str
    coords: np.ndarray
    failed_coords: np.ndarray
    attributes: dict[str, int | float | str]
    encoder: str
    encoder_attributes: dict[str, Any]
    dim: int
    precision: Literal["float32", "float16"]

    def __len__(self) -> int:
        return len(self.coords)

    def blocks(self, *, max_bytes: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
        """The rows in order, in blocks (n,D) of `precision` of at most `max_bytes` (one row at least)."""
        with h5py.File(self.file, "r") as file:
            yield from _blocks(file[self.dataset], precision=self.precision, max_bytes=max_bytes)

    def tile_table(self) -> TileTable:
        """The tile file that belongs to these features: source `features_file`, tissue shares not known (NaN)."""
        share = np.full(len(self), np.nan, np.float32)
        return TileTable(self.slide, "features_file", self.attributes, coords=self.coords, tissue_fraction=share)


def given_features(
    slide: str,
    features_file: Path,
    *,
    settings: Tiles,
    spacing: Spacing = UNKNOWN,
    size_lv0: tuple[int, int] | None = None,
    downsamples: Sequence[float] | None = None,
) -> GivenFeatures:
    """Take the tile features of a file of CLAM, TRIDENT, STAMP, AtlasPatch or this workflow.

    Every value is read once, in blocks, to see that it is finite.

    Parameters
    ----------
    spacing: of level 0 of the slide. STAMP's files need it, for their coordinates are in µm; this workflow's own
        state theirs; CLAM's and TRIDENT's do without, and the spacing is then written as unknown.
    size_lv0, downsamples: of the slide, if it is at hand; the coordinates are then checked against it.

    Raises
    ------
    Refusal
        `missing_file` or `unreadable` for the file; `no_tissue` if it holds no tiles; `bad_features` if it does not
        hold one finite vector per tile; `bad_coords` if the tiles have no place, are not on this slide or are not
        of the cohort's physical size; `no_mpp` for coordinates in µm without a spacing; an own file's status if it
        records a refused slide.
    """
    path = Path(features_file)
    if path.suffix.lower() in (".pt", ".pth"):
        raise Refusal(
            "bad_features",
            f"{path.name}: a tensor file holds vectors without their places on the slide; give the HDF5 file of the "
            "same run (CLAM: h5_files/<slide>.h5)",
        )
    with open_h5(path) as file:
        carry_refusal(file)
        rows = _feature_rows(file)
        told = stated(file)
        if spacing.source == "none" and told.mpp is not None:
            spacing = Spacing(told.mpp, told.mpp, told.mpp_source)
        mpp = None if math.isnan(spacing.mpp) else spacing.mpp
        shape = _shape(rows) if rows.size else (0, 0)
        coords = coords_lv0(dataset(file, "coords"), stated=told, mpp=mpp, size_lv0=size_lv0)
        if len(coords) != shape[0]:
            raise Refusal("bad_features", f"{shape[0]} rows of features but {len(coords)} of coordinates")
        precision: Literal["float32", "float16"] = "float16" if rows.dtype == np.float16 else "float32"
        digest = hashlib.sha256()
        _check_values(rows, precision=precision, digest=digest)
        if told.format == "histoweave":
            _check_unchanged(file, coords, digest)
        encoder, encoder_attributes = _encoder(file, rows, told=told, slide=slide, precision=precision)
        failed_coords = _failed_coords(file) if told.format == "histoweave" else np.empty((0, 2), np.int64)
        name = rows.name
        edge = edge_lv0(told, mpp=mpp, downsamples=downsamples)
        check_scale(edge_lv0=edge, mpp=mpp, tile_px=told.tile_px, stated=told, settings=settings)
    logger.info("%s: %d tiles from %s (%s, encoder %s)", slide, len(coords), path, told.format, encoder)
    return GivenFeatures(
        slide=slide,
        file=path,
        dataset=name,
        format=told.format,
        coords=coords,
        failed_coords=failed_coords,
        attributes=_attributes(slide, told=told, spacing=spacing, edge=edge, size_lv0=size_lv0),
        encoder=encoder,
        encoder_attributes=encoder_attributes,
        dim=shape[1],
        precision=precision,
    )


def _feature_rows(file: h5py.File) -> h5py.Dataset:
    """The dataset of features: `features`, STAMP's `feats`, or the only one in AtlasPatch's group `features`."""
    for name in ("features", "feats"):
        if (rows := dataset(file, name)) is not None:
            return rows
        if isinstance(group := member(file, name), h5py.Group):
            if len(group) == 1 and (rows := dataset(group, next(iter(group)))) is not None:
                return rows
            raise Refusal(
                "bad_features",
                f"the file holds features of {len(group)} encoders ({names_in(group)}); "
                "give a file with those of one encoder",
            )
    raise Refusal("bad_features", f"the file has no dataset 'features' or 'feats'; it has {names_in(file)}")


def _shape(rows: h5py.Dataset) -> tuple[int, int]:
    """Number of rows and length of a vector; a leading axis of length 1 does not count."""
    shape = rows.shape[1:] if rows.ndim == 3 and rows.shape[0] == 1 else rows.shape
    if len(shape) != 2:
        hint = "; it looks like one vector for the whole slide, and tiles are needed" if len(shape) == 1 else ""
        raise Refusal("bad_features", f"features have shape {rows.shape}, not one row per tile{hint}")
    if rows.dtype.kind != "f" or not shape[1]:
        raise Refusal(
            "bad_features", f"features have shape {rows.shape} and type {rows.dtype}, not floating-point rows"
        )
    feat_type = text(rows.file.attrs.get("feat_type", "tile"))
    if feat_type != "tile":
        raise Refusal("bad_features", f"the file holds features per {feat_type} (feat_type), and tiles are needed")
    return shape


def _blocks(rows: h5py.Dataset, *, precision: str, max_bytes: int) -> Iterator[np.ndarray]:
    n, dim = _shape(rows)
    step = max(1, max_bytes // (rows.dtype.itemsize * dim))
    for first in range(0, n, step):
        block = rows[0, first : first + step] if rows.ndim == 3 else rows[first : first + step]
        with np.errstate(over="ignore"):  # too large for float32 becomes inf, which is refused
            yield block.astype(precision, copy=False)


def _check_values(rows: h5py.Dataset, *, precision: str, digest: hashlib._Hash) -> None:
    """Refuse rows that no network gives: not finite, beyond `LARGEST`, or nothing but zeros, as of a tile never encoded.

    digest: takes the bytes of all rows.
    """
    first = 0
    for block in _blocks(rows, precision=precision, max_bytes=BLOCK_BYTES):
        digest.update(np.ascontiguousarray(block).data)
        with np.errstate(invalid="ignore"):
            largest = np.abs(block).max(axis=1).astype(np.float64)
        for wrong, what in (
            (~np.isfinite(largest), "a value is not finite"),
            (largest > LARGEST, f"a value is beyond {LARGEST:g}, which no network gives"),
            (largest == 0, "all values are 0, as of a tile that was never encoded; leave it out, or encode it"),
        ):
            if wrong.any():
                raise Refusal("bad_features", f"features, row {first + int(wrong.argmax())}: {what}")
        first += len(block)


def _check_unchanged(file: h5py.File, coords: np.ndarray, digest: hashlib._Hash) -> None:
    """Refuse one of this workflow's own files whose values are not those that it was made with."""
    made = text(file.attrs.get("features_sha256"))
    digest.update(np.ascontiguousarray(coords).data)
    if made and made != digest.hexdigest():
        raise Refusal("bad_features", "the values are not those that the file was made with (SHA-256); copy it again")


def _failed_coords(file: h5py.File) -> np.ndarray:
    """Corners of the tiles that one of this workflow's own files leaves out: (M,2) int64."""
    found = dataset(file, "failed_coords")
    if found is None:
        return np.empty((0, 2), np.int64)
    if found.ndim != 2 or found.shape[1] != 2 or len(found) > MAX_TILES or found.dtype.kind not in "iu":
        raise Refusal(
            "bad_coords", f"failed_coords has shape {found.shape} and type {found.dtype}, not rows of x and y"
        )
    return found[()].astype(np.int64)


def _encoder(
    file: h5py.File, rows: h5py.Dataset, *, told: Stated, slide: str, precision: str
) -> tuple[str, dict[str, Any]]:
    """The encoder's name and the attributes of `features` as this workflow writes them."""
    attributes: dict[str, Any] = {
        "weights_sha256": "",
        "input_px": 0,
        "mean": (math.nan,) * 3,
        "std": (math.nan,) * 3,
    }
    if told.format == "histoweave":
        attributes.update(rows.attrs)
    if told.format == "stamp":
        encoder = file.attrs.get("extractor")
    elif told.format == "atlaspatch" and rows.parent.name != "/":
        encoder = rows.name.rsplit("/", 1)[-1]
    else:
        encoder = rows.attrs.get("encoder")
    encoder = text(encoder) or UNKNOWN_ENCODER
    return encoder, attributes | {"name": slide, "encoder": encoder, "precision": precision}


def _attributes(
    slide: str, *, told: Stated, spacing: Spacing, edge: int | None, size_lv0: tuple[int, int] | None
) -> dict[str, int | float | str]:
    attributes = tile_attributes(
        slide=slide,
        tile_px=told.tile_px or 0,
        target_mpp=math.nan if edge is None or told.tile_px is None else spacing.mpp * edge / told.tile_px,
        overlap_px=told.overlap_px,
        spacing=spacing,
        scanner=told.scanner,
        origin_lv0=told.origin_lv0,
        size_lv0=size_lv0 or told.size_lv0 or (0, 0),
        edge_lv0=edge or 0,
        level=told.level or 0,
        downsample=told.downsample or math.nan,
    )
    if math.isnan(spacing.mpp):  # a magnification that the file states is all that is known of its scale
        attributes["level0_magnification"] = told.magnification or math.nan
        attributes["target_magnification"] = told.target_magnification or math.nan
    return attributes
