"""Our tiles and features in the forms that CLAM, STAMP and the AnnData world read."""

from __future__ import annotations

import math
import os
from typing import Any

import h5py
import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.interop.formats import BLOCK_BYTES
from histoweave.slides.store import read_tiles
from histoweave.storage.files import atomic_path
from histoweave.storage.hdf5 import new_hdf5
from histoweave.storage.refusal import OK


def _read_level(attributes: dict[str, Any]) -> tuple[int, float]:
    """Level to read from and its downsample; level 0 for tiles whose features came without a slide."""
    level, downsample = int(attributes["patch_level"]), float(attributes["downsample"])
    return (0, 1.0) if math.isnan(downsample) else (level, downsample)


def export_clam(tiles_h5: str | os.PathLike, out_h5: str | os.PathLike) -> None:
    """Write a tile file as CLAM's `patches/<slide>.h5`, with tiles counted in px of the level that is read.

    `patch_size`, `overlap`, `target_mpp` and `target_magnification` become those of `patch_level`, so a reader of
    CLAM's kind and one of TRIDENT's cut the same squares as this workflow. `level_dim` follows from the downsample,
    and may differ from the file's by a pixel. A slide that was refused gives a file without tiles.

    Raises
    ------
    InputError
        for a folder of ready-made tiles, whose coordinates are of no slide, and for tiles of unknown size.
    """
    tiles = read_tiles(tiles_h5)
    if tiles.tile_file is not None:
        raise InputError(f"{tiles_h5}: is of a folder of ready-made tiles, which CLAM cannot read; leave it out")
    attributes = dict(tiles.attributes)
    edge, px, (level, downsample) = attributes["patch_size_level0"], attributes["patch_size"], _read_level(attributes)
    if edge:
        at_level = round(edge / downsample)
        attributes.update(
            patch_size=at_level,
            overlap=round(attributes["overlap"] * at_level / px) if px else 0,
            target_mpp=attributes["level0_mpp"] * edge / at_level,
            target_magnification=attributes["level0_magnification"] * at_level / edge,
        )
    elif tiles.status == OK:
        raise InputError(f"{tiles_h5}: the size of the tiles is not known, so CLAM cannot cut them; leave it out")
    level_dim = [round(attributes[key] / downsample) for key in ("level0_width", "level0_height")]
    attributes.update(
        patch_level=level,
        downsample=[downsample, downsample],
        level_dim=level_dim,
        downsampled_level_dim=level_dim,
        save_path="",
    )
    with atomic_path(out_h5) as temporary, new_hdf5(temporary) as file:
        file.attrs.update(slide=tiles.slide, status=tiles.status, reason=tiles.reason)
        file.create_dataset("coords", data=tiles.coords).attrs.update(attributes)


def export_stamp(features_h5: str | os.PathLike, out_h5: str | os.PathLike) -> None:
    """Write a feature file as STAMP's: `feats` (N,D) float16, `coords` (N,2) float32 in µm, top-left corners.

    `stamp_version` is left out, for STAMP did not make the file; its readers take it so. A slide that was refused
    gives a file without tiles.

    Raises
    ------
    InputError
        if the spacing or the size of the tiles is not known, or a value is beyond float16.
    """
    with h5py.File(features_h5, "r") as source:
        features, attributes = source["features"], dict(source["coords"].attrs)
        mpp, edge = float(attributes["level0_mpp"]), int(attributes["patch_size_level0"])
        usable = len(features) > 0
        if usable and not (mpp > 0 and edge and attributes["patch_size"]):
            raise InputError(
                f"{features_h5}: STAMP's coordinates are in µm, and the spacing or the size of the tiles is not known; "
                "give the slide's mpp in the slides table"
            )
        with atomic_path(out_h5) as temporary, new_hdf5(temporary) as file:
            feats = file.create_dataset("feats", shape=features.shape, dtype=np.float16)
            step = max(1, BLOCK_BYTES // (features.dtype.itemsize * max(1, features.shape[1])))
            for first in range(0, len(features), step):
                with np.errstate(over="ignore"):
                    block = features[first : first + step].astype(np.float16)
                if not np.isfinite(block).all():
                    raise InputError(f"{features_h5}: holds values beyond float16, STAMP's number format")
                feats[first : first + step] = block
            coords = source["coords"][()].astype(np.float64)
            file.create_dataset("coords", data=(coords * mpp if usable else coords).astype(np.float32))
            file.attrs.update(
                extractor=source["features"].attrs["encoder"],
                unit="um",
                tile_size_um=edge * mpp if usable else math.nan,
                tile_size_px=attributes["patch_size"],
                feat_type="tile",
                slide=source.attrs["slide"],
                status=source.attrs["status"],
                reason=source.attrs["reason"],
            )


def export_anndata(
    tiles_h5: str | os.PathLike,
    features_h5: str | os.PathLike,
    out_h5ad: str | os.PathLike,
    *,
    patient: str | None = None,
) -> None:
    """Write the features of one slide as AnnData, one observation per tile, in the row order of the feature file.

    `X` (N,D) float32; `obs`: `slide`, `patient` (if given), `tissue_fraction`, `x_lv0`, `y_lv0` (top-left corner).
    `obsm["spatial"]` (N,2) float64 holds the centres of the tiles in level-0 px, as scverse keeps the centres of
    spots in px of the full-resolution image; where the size of the tiles is not known it holds the corners, and
    `uns["histoweave"]["spatial_point"]` says `centre` or `corner`. `uns["histoweave"]` also carries `status`,
    `reason` and all attributes of tiles and encoder, `uns["spatial"][<slide>]` the tile's edge as squidpy's
    `spot_diameter_fullres`. A slide that was refused has no observations. Equal input gives equal bytes. The
    features of one slide are held in memory.

    Raises
    ------
    InputError
        if the two files are not of the same slide and tiles.
    """
    import anndata  # takes a second to import, and only this export needs it

    tiles = read_tiles(tiles_h5)
    with h5py.File(features_h5, "r") as file:
        slide, status, reason = (file.attrs[key] for key in ("slide", "status", "reason"))
        features = file["features"].astype(np.float32)[()]
        corners = file["coords"][()]
        tile_attributes, encoder_attributes = (dict(file[name].attrs) for name in ("coords", "features"))
    if slide != tiles.slide:
        raise InputError(
            f"{features_h5}: is of slide '{slide}', but {tiles_h5} of '{tiles.slide}'; give one slide's files"
        )
    obs = pd.DataFrame(
        {
            "slide": pd.Categorical([slide] * len(corners), categories=[slide]),
            "tissue_fraction": _tissue_fraction(corners, tiles.coords, tiles.tissue_fraction, file=features_h5),
            "x_lv0": corners[:, 0],
            "y_lv0": corners[:, 1],
        },
        index=[f"{slide}:{row}" for row in range(len(corners))],
    )
    if patient is not None:
        obs.insert(1, "patient", pd.Categorical([patient] * len(corners), categories=[patient]))
    edge = int(tile_attributes["patch_size_level0"])
    placed = {"images": {}, "scalefactors": {"spot_diameter_fullres": float(edge)} if edge else {}}
    data = anndata.AnnData(
        X=features,
        obs=obs,
        var=pd.DataFrame(index=[f"feature_{number}" for number in range(features.shape[1])]),
        obsm={"spatial": corners + edge / 2},
        uns={
            "histoweave": {
                "slide": slide,
                "status": status,
                "reason": reason,
                "spatial_point": "centre" if edge else "corner",
                "tiles": tile_attributes,
                "encoder": encoder_attributes,
            },
            "spatial": {slide: placed},
        },
    )
    with atomic_path(out_h5ad) as temporary, new_hdf5(temporary) as file:
        anndata.io.write_elem(file, "/", data)
        file.pop("raw", None)  # says "none" in a form that older readers do not know


def _tissue_fraction(
    corners: np.ndarray, tiles: np.ndarray, share: np.ndarray, *, file: str | os.PathLike
) -> np.ndarray:
    """The tissue share of each feature row, looked up by its corner; tiles that could not be read have no row."""
    share_of = dict(zip(map(tuple, tiles.tolist()), share.tolist(), strict=True))
    try:
        found = [share_of[tuple(corner)] for corner in corners.tolist()]
    except KeyError as missing:
        raise InputError(f"{file}: the tile at {missing} is not in the tile file; give files of the same run") from None
    return np.array(found, np.float32)
