"""The tile grid: which squares of a slide become tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from histoweave.settings.tiles import Tiles
from histoweave.slides.reader import coarsest_level
from histoweave.slides.tissue import Tissue


@dataclass(frozen=True)
class TileGeometry:
    """Edge and step of a slide's tiles in level-0 px, and the level that their pixels are read from."""

    edge_lv0: int
    step_lv0: int
    level: int
    downsample: float


def tile_geometry(*, mpp: float, downsamples: Sequence[float], settings: Tiles) -> TileGeometry:
    """Tiles of `tile_px * target_mpp` µm on a slide of `mpp` µm per level-0 px.

    The read level is the coarsest one not coarser than the target (within `mpp_tolerance`).
    """
    scale = settings.target_mpp / mpp
    edge_lv0 = round(settings.tile_px * scale)
    overlap_lv0 = round(settings.overlap_px * scale)
    level = coarsest_level(downsamples, wanted=scale, tolerance=settings.mpp_tolerance)
    return TileGeometry(edge_lv0, max(1, edge_lv0 - overlap_lv0), level, float(downsamples[level]))


def grid_lv0(*, width_lv0: int, height_lv0: int, geometry: TileGeometry) -> np.ndarray:
    """Top-left corners of all whole tiles from the upper left on: (N,2) int64 (x, y), sorted by y, then x."""
    xs = np.arange(0, width_lv0 - geometry.edge_lv0 + 1, geometry.step_lv0, dtype=np.int64)
    ys = np.arange(0, height_lv0 - geometry.edge_lv0 + 1, geometry.step_lv0, dtype=np.int64)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def tissue_fraction(coords_lv0: np.ndarray, *, edge_lv0: int, tissue: Tissue) -> np.ndarray:
    """Share of each square that the mask covers: (N,) float32.

    Exact for squares that cut mask pixels: the integral image (Crow 1984) is interpolated linearly between
    pixels.
    """
    height, width = tissue.mask.shape
    integral = np.zeros((height + 1, width + 1))
    integral[1:, 1:] = tissue.mask.cumsum(axis=0).cumsum(axis=1)
    left, top = coords_lv0[:, 0] / tissue.downsample_x, coords_lv0[:, 1] / tissue.downsample_y
    right = left + edge_lv0 / tissue.downsample_x
    bottom = top + edge_lv0 / tissue.downsample_y

    def up_to(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        column = np.clip(x.astype(int), 0, width - 1)
        row = np.clip(y.astype(int), 0, height - 1)
        across, down = np.minimum(x - column, 1), np.minimum(y - row, 1)
        upper = integral[row, column] * (1 - across) + integral[row, column + 1] * across
        lower = integral[row + 1, column] * (1 - across) + integral[row + 1, column + 1] * across
        return upper * (1 - down) + lower * down

    covered = up_to(right, bottom) - up_to(left, bottom) - up_to(right, top) + up_to(left, top)
    share = covered / ((right - left) * (bottom - top))
    return np.clip(share, 0, 1).astype(np.float32)
