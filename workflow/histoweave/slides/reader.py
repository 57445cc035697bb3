"""Reading pixels with OpenSlide: one handle, one level, bounded memory, transparency on white.

A plain picture (JPEG, PNG) counts as a slide of one level and no known spacing; it is held in memory whole.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from histoweave.slides.dicom import check_series, slide_file
from histoweave.slides.tiff_header import huge_tile, is_tiff
from histoweave.storage.dicom_files import is_dicom
from histoweave.storage.folders import check_readable
from histoweave.storage.pictures import NoPicture, on_white, read_channels, resize
from histoweave.storage.refusal import Refusal

STRIP_PX = 8_000_000
STRIPS_AT_ONCE = 2
# A double slide of 52 x 76 mm has 62 million px at 8 µm per px. What claims more would fill the memory.
MAX_OVERVIEW_PX = 300_000_000
MAX_STRIP_PX = 400_000_000
PICTURES = ("JPEG", "PNG")


@dataclass(frozen=True)
class Overview:
    """A whole slide at low resolution.

    `rgb` (H,W,3) uint8, transparent parts white; `scanned` (H,W) bool, False where the slide is transparent;
    `downsample_x`, `downsample_y`: level-0 px per overview px.
    """

    rgb: np.ndarray
    scanned: np.ndarray
    downsample_x: float
    downsample_y: float

    @property
    def downsample(self) -> float:
        """One value for both axes: their geometric mean."""
        return math.sqrt(self.downsample_x * self.downsample_y)

    @property
    def size_lv0(self) -> tuple[int, int]:
        """Width and height of the slide in level-0 px."""
        height, width = self.scanned.shape
        return round(width * self.downsample_x), round(height * self.downsample_y)

    def shrunk(self, *, downsample: float) -> Overview:
        """The same slide at about `downsample` level-0 px per px; itself if it is no finer than that."""
        height, width = self.scanned.shape
        small_width = max(1, round(width * self.downsample_x / downsample))
        small_height = max(1, round(height * self.downsample_y / downsample))
        if small_width >= width or small_height >= height:
            return self
        return Overview(
            resize(self.rgb, width=small_width, height=small_height),
            resize(self.scanned.astype(np.uint8) * 255, width=small_width, height=small_height) > 127,
            self.downsample_x * width / small_width,
            self.downsample_y * height / small_height,
        )


def open_slide(path: str | Path) -> openslide.AbstractSlide:
    """Open a slide file, a plain picture, or a folder of DICOM files (one of which opens the series).

    Raises
    ------
    Refusal
        `missing_file` or `unreadable`.
    """
    path = Path(path)
    check_readable(path)
    file = slide_file(path) if path.is_dir() else path
    check_readable(file)
    if file is path and is_dicom(file):
        check_series(file.parent)
    if is_tiff(file) and (size := huge_tile(file)):
        raise Refusal("unreadable", f"{file.name} states tiles of {size[0]} x {size[1]} px, more than can be held")
    try:
        return openslide.OpenSlide(file)
    except openslide.OpenSlideError as error:
        picture = _plain_picture(file)
        if picture is None:
            raise Refusal("unreadable", f"OpenSlide cannot open {file.name}: {error}{_how_to_go_on(file)}") from None
        return openslide.ImageSlide(picture)


def _how_to_go_on(file: Path) -> str:
    """Advice for a TIFF that OpenSlide cannot open, such as one without tiles; empty for other files."""
    if not is_tiff(file):
        return ""
    return (
        "; make it a tiled TIFF, such as with `vips tiffsave in.tif out.tif --tile --pyramid --compression jpeg`, or save "
        "it as PNG, and state its µm per px in column mpp of the slides table"
    )


def _plain_picture(file: Path) -> Image.Image | None:
    """The pixels of a JPEG or PNG, None for other files.

    Raises
    ------
    Refusal
        `unreadable`, for one that is cut short or too large to be held.
    """
    try:
        return Image.fromarray(read_channels(file, formats=PICTURES))
    except NoPicture:
        return None


def properties_of(slide: openslide.AbstractSlide) -> dict[str, str]:
    """What a file states of itself; a property that a damaged file lists and does not hold is left out.

    Raises
    ------
    Refusal
        `unreadable`.
    """
    found = {}
    try:
        for key in slide.properties:
            with contextlib.suppress(KeyError):
                found[key] = slide.properties[key]
    except openslide.OpenSlideError as error:
        raise Refusal("unreadable", f"OpenSlide cannot read the file's properties: {error}") from None
    return found


def coarsest_level(downsamples: Sequence[float], *, wanted: float, tolerance: float) -> int:
    """The coarsest level whose downsample is at most `wanted * (1 + tolerance)`; level 0 if there is none."""
    fitting = [level for level, value in enumerate(downsamples) if value <= wanted * (1 + tolerance)]
    return max(fitting, key=lambda level: downsamples[level], default=0)


def read_region(
    slide: openslide.AbstractSlide, *, x_lv0: int, y_lv0: int, level: int, width_px: int, height_px: int
) -> np.ndarray:
    """Read a box of `level` px whose upper left corner is given in level-0 px: (H,W,4) uint8 RGBA.

    Raises
    ------
    openslide.OpenSlideError
        if the pixels cannot be read; the handle is of no use afterwards.
    """
    return np.asarray(slide.read_region((x_lv0, y_lv0), level, (width_px, height_px)))


def read_overview(slide: openslide.AbstractSlide, *, downsample: float) -> Overview:
    """Read the whole slide at about `downsample` level-0 px per px, in strips of at most some 8 million px.

    Raises
    ------
    Refusal
        `unreadable`.
    """
    width_lv0, height_lv0 = slide.dimensions
    width, height = max(1, round(width_lv0 / downsample)), max(1, round(height_lv0 / downsample))
    level = coarsest_level(slide.level_downsamples, wanted=downsample, tolerance=0.0)
    level_width, level_height = slide.level_dimensions[level]
    rows_per_px = level_height / height
    if width * height > MAX_OVERVIEW_PX or level_width * rows_per_px > MAX_STRIP_PX:
        raise Refusal(
            "unreadable",
            f"level 0 of {width_lv0} x {height_lv0} px, seen at level {level} of {level_width} x {level_height} px, is "
            "too large to be read; the file needs coarser levels, or tiles.segmentation_mpp a larger value",
        )
    strip_height = max(1, int(STRIP_PX / (level_width * rows_per_px)))
    rgb = np.empty((height, width, 3), np.uint8)
    alpha = np.empty((height, width), np.uint8)

    def read_strip(top: int) -> None:
        bottom = min(top + strip_height, height)
        first = round(top * rows_per_px)
        rows = max(1, round(bottom * rows_per_px) - first)
        corner = (0, round(first * slide.level_downsamples[level]))
        strip = np.asarray(slide.read_region(corner, level, (level_width, rows)))
        rgb[top:bottom] = resize(on_white(strip), width=width, height=bottom - top)
        coverage = np.ascontiguousarray(strip[..., 3])
        alpha[top:bottom] = resize(coverage, width=width, height=bottom - top)

    try:
        with ThreadPoolExecutor(STRIPS_AT_ONCE) as pool:
            list(pool.map(read_strip, range(0, height, strip_height)))
    except openslide.OpenSlideError as error:
        raise Refusal("unreadable", f"OpenSlide cannot read level {level}: {error}") from None
    return Overview(rgb, alpha > 127, width_lv0 / width, height_lv0 / height)
