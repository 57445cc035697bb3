"""Which tiles are read together: neighbouring tiles as one region, so that the file's own tiles are decoded once."""

from __future__ import annotations

import numpy as np

# Eight tiles of 224 px are 1,792 px: a region of 13 MB that shares few of the file's tiles with its neighbours.
TILES_PER_SIDE = 8
# A region with fewer tiles than this share of its area costs more than reading its tiles one by one.
MIN_FILL = 0.4


def blocks_of(coords_lv0: np.ndarray, *, edge_lv0: int) -> list[np.ndarray]:
    """Split tiles into square blocks of at most about 8 x 8, in rows of blocks from the top.

    Parameters
    ----------
    coords_lv0: (N,2) int64, sorted by y, then x.

    Returns
    -------
    Row numbers of each block, ascending. A row of blocks is finished before the next one begins, so results in the
    order of `coords_lv0` need no more memory than one row of blocks.
    """
    if len(coords_lv0) == 0:
        return []
    places = (coords_lv0 - coords_lv0.min(axis=0)) // (TILES_PER_SIDE * edge_lv0)
    order = np.lexsort((np.arange(len(places)), places[:, 0], places[:, 1]))
    sorted_places = places[order]
    cuts = np.flatnonzero((np.diff(sorted_places, axis=0) != 0).any(axis=1)) + 1
    return np.split(order, cuts)


def is_worth_a_region(coords_lv0: np.ndarray, *, edge_lv0: int) -> bool:
    """True if reading the box around these tiles costs less than reading them one by one."""
    if len(coords_lv0) < 2:
        return False
    width, height = coords_lv0.max(axis=0) - coords_lv0.min(axis=0) + edge_lv0
    return len(coords_lv0) * edge_lv0**2 >= MIN_FILL * width * height
