"""What a tile looks like, in numbers that a person can check by eye: stains, nucleus-like objects, texture, colour.

They describe. Nobody has validated them as a segmentation: touching nuclei count as one object, and whatever takes
haematoxylin (ink, mucin, folds) counts as nuclear.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# Name of each measure, which ends in its unit, and the unit in words.
MEASURES = {
    "haematoxylin_od": "optical density",
    "eosin_od": "optical density",
    "nuclei_share": "share of the tile",
    "nuclei_per_mm2": "per mm²",
    "nucleus_area_um2": "µm²",
    "luminance_sd_grey": "grey levels",
    "saturation_hsv": "HSV, 0 to 1",
}
# Smaller objects are specks: a disc of 10 µm² has a diameter of 3.6 µm, less than a lymphocyte's nucleus.
MIN_NUCLEUS_UM2 = 10.0
# On coarser px that disc has fewer than ten of them, and objects cannot be told apart.
MAX_OBJECT_MPP = 1.0
# Optical density per unit of stain in R, G, B: haematoxylin and eosin of Ruifrok and Johnston, Anal Quant Cytol
# Histol 2001;23:291, table 1.
_RUIFROK_OD = np.array([(0.65, 0.70, 0.29), (0.07, 0.99, 0.11)])
_WHITE = 255.0
# Black has a density of 2.4 in each colour.
_MAX_OD = 2.5
# (3,2): with two stains the third direction is orthogonal to both, so that deconvolution is a projection onto their plane.
_UNMIX = np.linalg.pinv(_RUIFROK_OD / np.linalg.norm(_RUIFROK_OD, axis=1, keepdims=True)).astype(np.float32)
_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / _WHITE).astype(np.float32)


def stains(rgb: np.ndarray) -> np.ndarray:
    """Optical densities of haematoxylin and eosin of every px, by colour deconvolution (Ruifrok & Johnston 2001).

    Parameters
    ----------
    rgb : (H,W,3) uint8; white is 255.

    Returns
    -------
    (H,W,2) float32, log₁₀ units along each stain's vector; what lies outside the two stains' range is 0.
    """
    return np.maximum(_DENSITY[rgb] @ _UNMIX, 0)


def as_bytes(haematoxylin: np.ndarray) -> np.ndarray:
    """(H,W) optical densities in 256 steps of 0.01, uint8: what is thresholded."""
    return np.rint(np.clip(haematoxylin / _MAX_OD, 0, 1) * 255).astype(np.uint8)


def nuclear_threshold(tiles: Sequence[np.ndarray]) -> int:
    """Otsu's threshold (IEEE Trans SMC 1979;9:62) over the px of all tiles of a slide, so that one cut serves them all.

    tiles : of `as_bytes`. Px above the threshold are nucleus-like; of tiles of one single value none is.
    """
    pixels = np.concatenate([tile.ravel() for tile in tiles])
    if pixels.min() == pixels.max():
        return int(pixels[0])
    threshold, _ = cv2.threshold(pixels[None], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return int(threshold)


def measure(rgb: np.ndarray, *, mpp: float, threshold: int) -> dict[str, float]:
    """The `MEASURES` of one tile.

    Parameters
    ----------
    rgb : (H,W,3) uint8.
    mpp : µm per px; NaN if nobody knows. Without it, and on px coarser than `MAX_OBJECT_MPP`, objects are not counted.
    threshold : of `nuclear_threshold`.

    Returns
    -------
    By name: mean densities of both stains; share of nucleus-like px; 8-connected objects of at least
    `MIN_NUCLEUS_UM2`, per mm², and their median area (NaN without one; clumps of touching nuclei
    move it little); standard deviation of the luminance
    (Rec. 601, 0 to 255); mean HSV saturation.
    """
    densities = stains(rgb)
    nuclear = (as_bytes(densities[..., 0]) > threshold).astype(np.uint8)
    per_mm2, area_um2 = _objects(nuclear, mpp=mpp)
    brightest = rgb.max(axis=2).astype(np.float32)
    spread = brightest - rgb.min(axis=2)
    values = (
        *densities.mean(axis=(0, 1), dtype=np.float64),
        nuclear.mean(),
        per_mm2,
        area_um2,
        cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).std(),
        (spread / np.maximum(brightest, 1)).mean(dtype=np.float64),
    )
    return dict(zip(MEASURES, map(float, values), strict=True))


def _objects(nuclear: np.ndarray, *, mpp: float) -> tuple[float, float]:
    """Objects per mm² of a (H,W) uint8 mask, and their median area in µm²."""
    if not mpp <= MAX_OBJECT_MPP:
        return np.nan, np.nan
    _, _, facts, _ = cv2.connectedComponentsWithStats(nuclear, connectivity=8)
    areas_um2 = facts[1:, cv2.CC_STAT_AREA] * mpp**2
    areas_um2 = areas_um2[areas_um2 >= MIN_NUCLEUS_UM2]
    return len(areas_um2) / (nuclear.size * mpp**2 / 1e6), np.median(areas_um2) if len(areas_um2) else np.nan
