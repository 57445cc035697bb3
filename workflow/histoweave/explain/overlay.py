"""Attribution as a transparent picture that lies on a slide's thumbnail."""

from __future__ import annotations

import os

import cv2
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from histoweave.slides.outlines import THUMBNAIL_PX
from histoweave.storage.files import atomic_path

# Blue: against the class, orange: for it (Okabe and Ito, 2008).
_COLOURS = LinearSegmentedColormap.from_list("against and for", ["#0072b2", "#ffffff", "#e69f00"])
_FAINT, _STRONG = 0.25, 0.8  # opacity of a tile without attribution, and of the strongest


def frame_px(size_lv0: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a thumbnail of a slide of `size_lv0` (width, height), as the tiling stage makes it."""
    scale = min(1.0, THUMBNAIL_PX / max(size_lv0))
    return max(1, round(size_lv0[0] * scale)), max(1, round(size_lv0[1] * scale))


def draw(
    coords: np.ndarray,
    values: np.ndarray,
    *,
    edge_lv0: int,
    size_lv0: tuple[int, int],
    size_px: tuple[int, int],
    limit: float,
) -> np.ndarray:
    """A heat map: blue below zero, white at zero, orange above it, transparent where there is no tile.

    Parameters
    ----------
    coords : (N,2) top-left corners (x, y) in level-0 px.
    values : (N,) float64; where tiles overlap, their mean is shown.
    edge_lv0, size_lv0 : of a tile, and width and height of the slide, in level-0 px.
    size_px : width and height of the picture.
    limit : magnitude that gets the full colour.

    Returns
    -------
    (height, width, 4) uint8 RGBA
    """
    width, height = size_px
    total, count = np.zeros((2, height, width))
    per_lv0 = np.array([width / size_lv0[0], height / size_lv0[1]])
    corners = np.rint(coords * per_lv0).astype(int)
    # A tile is at least one pixel, so that none is lost on a small picture.
    ends = np.maximum(np.rint((coords + edge_lv0) * per_lv0).astype(int), corners + 1)
    for (x, y), (x_end, y_end), value in zip(corners, ends, values, strict=True):
        total[y:y_end, x:x_end] += value
        count[y:y_end, x:x_end] += 1
    relative = np.clip(total / np.maximum(count, 1) / (limit or 1.0), -1, 1)
    picture = _COLOURS((relative + 1) / 2)
    picture[..., 3] = np.where(count > 0, _FAINT + (_STRONG - _FAINT) * np.abs(relative), 0.0)
    return np.rint(255 * picture).astype(np.uint8)


def write_rgba(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write (H,W,4) uint8 RGBA as PNG, whole or not at all."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA))
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
