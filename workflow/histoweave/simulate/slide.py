"""A simulated slide: a pyramidal, tiled JPEG TIFF that OpenSlide opens, and the truth beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import tifffile

from histoweave.simulate.factors import rng_for
from histoweave.simulate.scene import FIBRE_UM, MASK_UM, Scene, Site, make_scene, planted_squares, site_of
from histoweave.storage.files import atomic_path, write_table

if TYPE_CHECKING:
    from histoweave.settings.cohorts import Simulate

SQUARE_UM = 28.0  # edge of a square of the truth
_DOWNSAMPLES = (1, 4, 16)
_TILE_PX = 256
_JPEG_QUALITY = 78
_TRUNCATED_SHARE = 0.4
_GRAIN_UM = 1.0  # chromatin texture
_BLUR_UM = 0.45  # optics
_SHIFT = 4  # cv2 draws polygons in 1/16 px
_CONCENTRATION_MAX = 2.5
_MAKE, _MODEL = 271, 272  # TIFF tags of the scanner's manufacturer and model
# Optical density per unit of haematoxylin and of eosin in R, G, B: the reference vectors of Macenko et al., ISBI 2009,
# and of Ruifrok and Johnston, Anal Quant Cytol Histol 2001;23:291.
_MACENKO_OD = np.array([(0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)])
_RUIFROK_OD = np.array([(0.650, 0.704, 0.286), (0.072, 0.990, 0.105)])


def _at_px(values: np.ndarray, *, pixel_um: float, mpp: float, size_px: int) -> np.ndarray:
    """Resample a field with pixels of `pixel_um` to (size_px, size_px) pixels of `mpp`, in place in µm."""
    scale = mpp / pixel_um
    offset = 0.5 * scale - 0.5  # pixel centres lie at half pixels
    matrix = np.array([[scale, 0, offset], [0, scale, offset]])
    return cv2.warpAffine(
        values.astype(np.float32), matrix, (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _to_byte(concentration: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(concentration, alpha=255 / _CONCENTRATION_MAX)


def _transmitted(od: float) -> np.ndarray:
    """(256,) uint8 table from a stain's byte to the share of light let through (Beer-Lambert), times 255."""
    concentration = np.arange(256) * _CONCENTRATION_MAX / 255
    return np.round(255 * np.exp(-od * concentration)).astype(np.uint8)


def _stain_vectors(stain: float) -> np.ndarray:
    """(2,3) optical densities of the two stains, of unit length; `stain` 0: Macenko's, 1: Ruifrok's."""
    if stain == 0:
        return _MACENKO_OD
    mixed = (1 - stain) * _MACENKO_OD + stain * _RUIFROK_OD
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def _draw_nuclei(scene: Scene, *, mpp: float, size_px: int) -> np.ndarray:
    """Haematoxylin of the nuclei as bytes, (size_px, size_px) uint8."""
    canvas = np.zeros((size_px, size_px), np.uint8)
    nuclei = scene.nuclei
    centre = nuclei.outline_um.mean(axis=1, keepdims=True)
    core_um = centre + 0.7 * (nuclei.outline_um - centre)
    to_fixed = 2**_SHIFT / mpp
    rim_px = np.round(nuclei.outline_um * to_fixed - 2 ** (_SHIFT - 1)).astype(np.int32)
    core_px = np.round(core_um * to_fixed - 2 ** (_SHIFT - 1)).astype(np.int32)
    rim, core = (np.minimum(level * 255 / _CONCENTRATION_MAX, 255) for level in (nuclei.rim, nuclei.core))
    for i in range(len(rim)):
        cv2.fillPoly(canvas, [rim_px[i]], float(rim[i]), lineType=cv2.LINE_AA, shift=_SHIFT)
        cv2.fillPoly(canvas, [core_px[i]], float(core[i]), lineType=cv2.LINE_AA, shift=_SHIFT)
    return canvas


def render(scene: Scene, *, site: Site, grain: np.random.Generator, stain: float = 0.0) -> np.ndarray:
    """Render a scene at the site's scanner, its stains mixed by `stain`: (n, n, 3) uint8 RGB with n = field_um / mpp."""
    mpp, size_px = site.mpp, round(scene.field_um / site.mpp)
    edge = cv2.GaussianBlur(scene.tissue.astype(np.float32), (0, 0), 1.0)
    tissue = _at_px(edge, pixel_um=MASK_UM, mpp=mpp, size_px=size_px)
    tissue = np.clip(6 * tissue - 2.5, 0, 1)
    eosin = _to_byte(tissue * _at_px(scene.stroma, pixel_um=FIBRE_UM, mpp=mpp, size_px=size_px))

    grain_size = int(np.ceil(scene.field_um / _GRAIN_UM))
    chromatin = 1 + 0.16 * grain.standard_normal((grain_size, grain_size), dtype=np.float32)
    tissue *= _at_px(chromatin, pixel_um=_GRAIN_UM, mpp=mpp, size_px=size_px)
    haematoxylin = cv2.multiply(_draw_nuclei(scene, mpp=mpp, size_px=size_px), tissue, dtype=cv2.CV_8U)
    haematoxylin = cv2.GaussianBlur(haematoxylin, (0, 0), _BLUR_UM / mpp)

    channels = [
        cv2.multiply(
            cv2.LUT(haematoxylin, _transmitted(h_od)),
            cv2.LUT(eosin, _transmitted(e_od)),
            scale=glass / 255**2,
        ).astype(np.uint8)
        for h_od, e_od, glass in zip(*_stain_vectors(stain), site.glass_rgb, strict=True)
    ]
    return cv2.merge(channels)


def _write_tiff(path: Path, image: np.ndarray, *, mpp: float | None, scanner: str) -> None:
    """Write the pyramid with the scanner's model; without `mpp` there are no usable resolution tags."""
    made_by = [(tag, "s", 0, text, True) for tag, text in ((_MAKE, "histoweave"), (_MODEL, scanner))]
    with tifffile.TiffWriter(path) as tiff:
        for downsample in _DOWNSAMPLES:
            size = (image.shape[1] // downsample, image.shape[0] // downsample)
            level = image if downsample == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            resolution: dict[str, Any] = {}
            if mpp is not None:
                px_per_cm = 10_000 / (mpp * downsample)
                resolution = {"resolution": (px_per_cm, px_per_cm), "resolutionunit": "CENTIMETER"}
            tiff.write(
                level,
                tile=(_TILE_PX, _TILE_PX),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": _JPEG_QUALITY},
                subfiletype=0 if downsample == 1 else 1,
                metadata=None,
                software=False,
                extratags=made_by if downsample == 1 else (),
                **resolution,
            )


def write_slide(
    path: str | os.PathLike,
    truth_path: str | os.PathLike,
    *,
    slide: str,
    patient: str,
    site: str,
    image_factor: bool,
    settings: Simulate,
) -> None:
    """Write a slide (three levels, 1:4:16) and the truth of its squares; equal arguments give equal bytes.

    The truth has one row per square of 28 µm: `slide`, `x_um`, `y_um` (top-left corner), `edge_um`,
    `planted_share`. A slide listed in `settings.no_mpp` has no resolution tags, one in `no_tissue` is empty
    glass, and one in `truncated` ends after 40 % of its bytes.

    Raises
    ------
    InputError
        for a site that the simulation does not know.
    """
    cv2.setNumThreads(1)
    lab = site_of(site)
    empty = slide in settings.no_tissue
    scene = make_scene(
        slide=slide, patient=patient, site=site, image_factor=image_factor, empty=empty,
        planted_share=settings.planted_share, field_um=settings.field_um, seed=settings.seed,
    )  # fmt: skip
    image = render(scene, site=lab, grain=rng_for(settings.seed, "grain", slide), stain=settings.stain)
    with atomic_path(path) as temporary:
        _write_tiff(temporary, image, mpp=None if slide in settings.no_mpp else lab.mpp, scanner=lab.scanner)
        if slide in settings.truncated:
            os.truncate(temporary, int(temporary.stat().st_size * _TRUNCATED_SHARE))

    share = planted_squares(scene, edge_um=SQUARE_UM)
    row, column = (axis.ravel() for axis in np.indices(share.shape))
    write_table(
        truth_path,
        pd.DataFrame(
            {
                "slide": slide,
                "x_um": column * SQUARE_UM,
                "y_um": row * SQUARE_UM,
                "edge_um": SQUARE_UM,
                "planted_share": share.ravel(),
            }
        ),
    )
