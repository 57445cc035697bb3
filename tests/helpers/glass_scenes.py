"""Pictures of tissue without glass and of glass without tissue, and what is found on them."""

import cv2
import numpy as np
import pytest

from histoweave.settings.tiles import Tiles
from histoweave.slides.reader import Overview
from histoweave.slides.tissue import Tissue, find_tissue
from histoweave.storage.refusal import Refusal

MPP = 0.5


def tissue_of(rgb: np.ndarray, *, mpp: float = MPP, **keys) -> Tissue:
    """What is found on a picture of `mpp` µm per px that is scanned everywhere."""
    overview = Overview(rgb, np.ones(rgb.shape[:2], bool), 1.0, 1.0)
    return find_tissue(overview, mpp=mpp, settings=Tiles(**keys))


def refusal_of(rgb: np.ndarray, **keys) -> Refusal:
    with pytest.raises(Refusal) as refused:
        tissue_of(rgb, **keys)
    return refused.value


def cells(ground, *nuclei, edge_px: int = 600, per_um2: float = 0.004, seed: int = 0) -> np.ndarray:
    """A field of ellipses of 6 to 11 px half axes on an uneven ground, as (H,W,3) uint8."""
    rng = np.random.default_rng(seed)
    uneven = cv2.GaussianBlur(rng.normal(0, 100, (edge_px, edge_px)).astype(np.float32), (0, 0), 8)
    rgb = np.asarray(ground, np.float32) + uneven[..., None]
    for number in range(int(per_um2 * (edge_px * MPP) ** 2)):
        centre, axes = rng.integers(0, edge_px, 2).tolist(), rng.integers(6, 12, 2).tolist()
        colour = np.asarray(nuclei[number % len(nuclei)]) + rng.normal(0, 12)
        cv2.ellipse(rgb, centre, axes, float(rng.integers(180)), 0, 360, colour.tolist(), -1, cv2.LINE_AA)
    return (cv2.GaussianBlur(rgb, (0, 0), 1) + rng.normal(0, 2, rgb.shape)).clip(0, 255).astype(np.uint8)


def glass(edge_px: int = 600, colour=(242, 241, 243), noise: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.array(colour) + rng.normal(0, noise, (edge_px, edge_px, 3))).clip(0, 255).astype(np.uint8)


DENSE = cells((190, 110, 160), (110, 60, 130), (90, 50, 120), per_um2=0.009)
