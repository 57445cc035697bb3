"""Slides on the page: small WebP pictures with a bounded size, contours as a vector path, attribution as an overlay."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
from PIL import Image

from histoweave.slides.bounds import origin_of
from histoweave.storage.files import read_json
from histoweave.storage.pictures import open_picture

MAX_THUMBNAILS = 120
# Longest edge in px and WebP quality: the first that fits is taken, the last whatever it needs.
_LADDER = ((768, 65), (512, 50), (224, 25))
_PICTURE_BYTES, _OVERLAY_BYTES = 48_000, 12_000
# How far a drawn contour may lie from the true one, in px of the page's picture.
_CONTOUR_PX = 0.5


@dataclass(frozen=True)
class SlidePicture:
    """One slide of the page.

    Attributes
    ----------
    uri, overlay: data URIs; the overlay is empty for a slide without attribution.
    width_px, height_px: of the picture. contours: an SVG path in its px.
    size_lv0, edge_lv0: of the slide and of a tile in level-0 px; None where the picture isn't a view of the slide.
    """

    slide: str
    status: str
    uri: str
    width_px: int
    height_px: int
    contours: str = ""
    overlay: str = ""
    size_lv0: tuple[int, int] | None = None
    edge_lv0: int = 0


def slide_pictures(
    status: Mapping[str, str], *, thumbnails: Mapping[str, Path], overlays: Mapping[str, Path]
) -> list[SlidePicture]:
    """Pictures of the slides of `status` (slide → status) that have one, in that order, at most `MAX_THUMBNAILS`."""
    shown = [slide for slide in status if slide in thumbnails][:MAX_THUMBNAILS]
    return [_picture(slide, status[slide], thumbnails[slide], overlays.get(slide)) for slide in shown]


def _picture(slide: str, status: str, path: Path, overlay: Path | None) -> SlidePicture:
    with open_picture(path) as picture:
        uri, (width, height) = webp(picture.convert("RGB"), most_bytes=_PICTURE_BYTES)
    shown = SlidePicture(slide, status, uri, width, height)
    with h5py.File(path.with_suffix(".h5"), "r") as tiles:
        of_tiles = dict(tiles["coords"].attrs)
        whole_slide = tiles.attrs["source"] == "slide"
    size_lv0 = (int(of_tiles["level0_width"]), int(of_tiles["level0_height"]))
    # A folder of tiles has a montage for a picture, and a refused slide perhaps a text.
    if status != "ok" or not whole_slide or not min(size_lv0) > 0:
        return shown
    scale = (width / size_lv0[0], height / size_lv0[1])
    contours = contour_path(path.with_suffix(".geojson"), scale=scale, origin_lv0=origin_of(of_tiles))
    attribution = ""
    if overlay is not None:
        with open_picture(overlay) as layer:
            attribution, _ = webp(layer.convert("RGBA"), most_bytes=_OVERLAY_BYTES)
    return SlidePicture(
        slide, status, uri, width, height, contours, attribution,
        size_lv0, int(of_tiles["patch_size_level0"]),
    )  # fmt: skip


def webp(picture: Image.Image, *, most_bytes: int) -> tuple[str, tuple[int, int]]:
    """A picture as a WebP data URI of about `most_bytes` at most, before base64; and its size in px."""
    small = picture.copy()
    for edge_px, quality in _LADDER:
        small.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, format="WEBP", quality=quality, method=2)
        if buffer.tell() <= most_bytes:
            break
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"), small.size


def contour_path(geojson: Path, *, scale: tuple[float, float], origin_lv0: tuple[int, int] = (0, 0)) -> str:
    """The polygons of a GeoJSON file (level-0 px from `origin_lv0` on) as an SVG path in px.

    `scale` is px per level-0 px in x and y.
    """
    parts = []
    for feature in read_json(geojson)["features"]:
        for ring in feature["geometry"]["coordinates"]:
            outline = ((np.asarray(ring, dtype=float) + origin_lv0) * scale).astype(np.float32)
            points = [f"{x:.1f} {y:.1f}" for x, y in cv2.approxPolyDP(outline, _CONTOUR_PX, True)[:, 0]]
            parts.append("M" + "L".join(points) + "Z")
    return "".join(parts)
