"""What a person looks at: tissue contours as GeoJSON, and the thumbnail."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from shapely.affinity import translate
from shapely.geometry import Polygon, mapping
from shapely.geometry.polygon import orient

from histoweave.storage.files import atomic_path, write_json
from histoweave.storage.pictures import resize

THUMBNAIL_PX = 1024
_TISSUE_RGB = (0, 150, 60)


def write_geojson(
    path: str | os.PathLike, polygons: Sequence[Polygon], *, origin_lv0: tuple[int, int] = (0, 0)
) -> None:
    """Write polygons (level-0 px) as one FeatureCollection of QuPath annotations (RFC 7946 ring order).

    QuPath counts pixels from `origin_lv0` (`bounds.bounds_origin`).
    """
    features = [
        {
            "type": "Feature",
            "geometry": mapping(orient(translate(polygon, *(-corner for corner in origin_lv0)))),
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Tissue", "color": list(_TISSUE_RGB)},
                "tissue_id": number,
            },
        }
        for number, polygon in enumerate(polygons)
    ]
    write_json(path, {"type": "FeatureCollection", "features": features})


def write_png(path: str | os.PathLike, rgb: np.ndarray) -> None:
    """Write (H,W,3) uint8 RGB as PNG, whole or not at all."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """Scale an overview to at most 1024 px on its longest edge: (H,W,3) uint8."""
    height, width = rgb.shape[:2]
    scale = min(1.0, THUMBNAIL_PX / max(height, width))
    return resize(rgb, width=max(1, round(width * scale)), height=max(1, round(height * scale)))


def text_picture(text: str) -> np.ndarray:
    """A small picture that carries a text: (H,W,3) uint8. OpenCV's fonts are ASCII, so µ becomes u."""
    ascii_text = text.replace("µ", "u").encode("ascii", "replace").decode()
    lines = textwrap.wrap(ascii_text, width=52) or [""]
    picture = np.full((30 + 22 * len(lines), 512, 3), 245, np.uint8)
    for number, line in enumerate(lines):
        corner = (14, 30 + 22 * number)
        cv2.putText(picture, line, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 60), 1, cv2.LINE_AA)
    return picture
