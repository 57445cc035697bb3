"""A folder of ready-made tile images in place of a slide: taken as they are, nothing resampled."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, UnidentifiedImageError

from histoweave.slides.outlines import THUMBNAIL_PX, text_picture
from histoweave.slides.reader import on_white, resize
from histoweave.slides.refusal import Refusal
from histoweave.slides.spacing import UNKNOWN, Spacing
from histoweave.slides.store import TileTable, tile_attributes

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
MONTAGE_TILES = 64
_NAME_FORMS = (
    re.compile(r"\[.*?\bx=(?P<x>\d+),y=(?P<y>\d+)(?:,w=(?P<w>\d+),h=(?P<h>\d+))?.*\]$"),  # QuPath's tile export
    re.compile(r"_\((?P<x>\d+),\s*(?P<y>\d+)\)$"),
    re.compile(r"_(?P<x>\d+)_(?P<y>\d+)$"),
)


def read_tile_image(path: str | Path) -> np.ndarray:
    """Read one tile image: (H,W,3) uint8 RGB, transparency on white.

    Raises
    ------
    OSError
        if the file is missing, cut short or not an image.
    """
    try:
        with Image.open(path) as image:
            return on_white(np.asarray(image.convert("RGBA")))
    except (
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # Pillow's other words for a bad file
        raise OSError(f"{path}: {error}") from None


def tile_images(folder: Path) -> list[Path]:
    """The image files directly in `folder`, sorted by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def _places(files: list[Path], *, edge_px: int) -> tuple[np.ndarray, int]:
    """Coordinates (N,2) int64 and tile edge in level-0 px, from the names; else a running square grid."""
    for form in _NAME_FORMS:
        matches = [form.search(file.stem) for file in files]
        if all(matches):
            coords = np.array([(int(match["x"]), int(match["y"])) for match in matches], np.int64)
            named_edge = matches[0].groupdict().get("w")
            return coords, int(named_edge) if named_edge else edge_px
    columns = math.ceil(math.sqrt(len(files)))
    number = np.arange(len(files))
    return np.stack([number % columns, number // columns], axis=1).astype(np.int64) * edge_px, edge_px


def _first_edge_px(files: list[Path]) -> int:
    for file in files:
        try:
            with Image.open(file) as image:
                return image.width
        except (UnidentifiedImageError, OSError):
            continue
    raise Refusal("unreadable", f"none of the {len(files)} tile images can be read")


def tile_folder(*, slide: str, folder: Path, mpp: float | None) -> tuple[TileTable, shapely.Geometry, np.ndarray]:
    """Take the images of `folder` as the tiles of `slide`.

    Returns
    -------
    The table (coordinates from names such as `[x=15680,y=39200,w=224,h=224]`, `_(x,y)` or `_x_y`, if all have
    one), the union of the tiles' boxes in level-0 px, and a montage of the first tiles.

    Raises
    ------
    Refusal
        `no_tissue` for a folder without images, `unreadable` if no image can be read.
    """
    files = tile_images(folder)
    if not files:
        raise Refusal("no_tissue", f"the folder has no tile images ({', '.join(SUFFIXES)})")
    edge_px = _first_edge_px(files)
    coords, edge_lv0 = _places(files, edge_px=edge_px)
    order = np.lexsort((coords[:, 0], coords[:, 1]))
    coords, files = coords[order], [files[index] for index in order]
    spacing = Spacing(mpp, mpp, "override") if mpp is not None and not math.isnan(mpp) else UNKNOWN
    width_lv0, height_lv0 = (int(value) for value in coords.max(axis=0) + edge_lv0)
    attributes = tile_attributes(
        slide=slide,
        tile_px=edge_px,
        target_mpp=spacing.mpp * edge_lv0 / edge_px,
        overlap_px=0,
        spacing=spacing,
        size_lv0=(width_lv0, height_lv0),
        edge_lv0=edge_lv0,
    )
    table = TileTable(
        slide=slide,
        source="tile_folder",
        attributes=attributes,
        coords=coords,
        tissue_fraction=np.ones(len(files), np.float32),
        tile_file=tuple(file.name for file in files),
    )
    boxes = shapely.box(*coords.T, *(coords + edge_lv0).T)
    return table, shapely.union_all(boxes), _montage(files)


def _montage(files: list[Path]) -> np.ndarray:
    shown = files[:MONTAGE_TILES]
    columns = math.ceil(math.sqrt(len(shown)))
    edge = min(224, THUMBNAIL_PX // columns)
    canvas = np.full((math.ceil(len(shown) / columns) * edge, columns * edge, 3), 245, np.uint8)
    for number, file in enumerate(shown):
        top, left = number // columns * edge, number % columns * edge
        try:
            image = read_tile_image(file)
        except OSError:
            image = text_picture("unreadable")[:, :120]
        canvas[top : top + edge, left : left + edge] = resize(image, width=edge, height=edge)
    return canvas
