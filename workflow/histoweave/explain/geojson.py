"""The tiles of a slide with their scores, as QuPath reads them."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd

from histoweave.storage.files import write_text


def write_scores(
    path: str | os.PathLike, tiles: pd.DataFrame, *, edge_lv0: int, origin_lv0: tuple[int, int] = (0, 0)
) -> None:
    """Write one FeatureCollection of QuPath detections, one square per tile (RFC 7946 ring order).

    Parameters
    ----------
    tiles : `x_lv0`, `y_lv0` (top-left corner in level-0 px), and one column per measurement; NaN is left out.
    edge_lv0 : edge of a tile in level-0 px.
    origin_lv0 : where QuPath counts pixels from (`slides.bounds.bounds_origin`).
    """
    measured = [column for column in tiles if column not in ("x_lv0", "y_lv0")]
    corners = (tiles[["x_lv0", "y_lv0"]].to_numpy() - origin_lv0).tolist()
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [_square(x, y, edge_lv0)]},
            "properties": {
                "objectType": "detection",
                "measurements": {name: value for name, value in zip(measured, row, strict=True) if np.isfinite(value)},
            },
        }
        for (x, y), row in zip(corners, tiles[measured].to_numpy(np.float64).tolist(), strict=True)
    ]
    collection = {"type": "FeatureCollection", "features": features}
    write_text(path, json.dumps(collection, separators=(",", ":"), allow_nan=False) + "\n")


def _square(x: int, y: int, edge: int) -> list[list[int]]:
    return [[x, y], [x + edge, y], [x + edge, y + edge], [x, y + edge], [x, y]]
