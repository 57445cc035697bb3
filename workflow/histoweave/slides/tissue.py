"""Tissue on a low-resolution overview: the mask, and its contours as polygons in level-0 px."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from shapely.geometry import Polygon

from histoweave.slides.colour import glass_colour, saturation
from histoweave.slides.reader import Overview
from histoweave.slides.refusal import Refusal

# Chroma (largest minus smallest channel, 0 to 255) that separates tissue from glass lies between these:
# below the first is noise of empty glass, above the second pale stroma is lost on slides with much dark or
# pen-marked area.
CHROMA_LIMITS = (14, 30)
# Glass more coloured than this is not tinted glass but a field without glass: no white balance then.
MAX_TINT = 0.12
BLUR_UM = 40.0


@dataclass(frozen=True)
class Tissue:
    """`mask` (H,W) bool on the overview; `downsample_x`, `downsample_y`: level-0 px per mask px."""

    mask: np.ndarray
    downsample_x: float
    downsample_y: float

    def polygons_lv0(self, *, width_lv0: int, height_lv0: int) -> list[Polygon]:
        """Valid, disjoint polygons with holes, in level-0 px, within the slide, top first."""
        outlines, hierarchy = cv2.findContours(self.mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        slide = shapely.box(0, 0, width_lv0, height_lv0)
        found: list[Polygon] = []
        for index, outline in enumerate(outlines):
            if hierarchy[0][index][3] != -1:
                continue
            outer = _area(outline)
            child = hierarchy[0][index][2]
            while child != -1:
                outer = outer.difference(_hole(outlines[child]))
                child = hierarchy[0][child][0]
            scaled = shapely.transform(outer, lambda xy: (xy + 0.5) * (self.downsample_x, self.downsample_y))
            found.append(shapely.make_valid(scaled).intersection(slide))
        return polygons_of(shapely.union_all(found))


def _ring(outline: np.ndarray) -> shapely.Geometry:
    points = outline[:, 0, :].astype(float)
    if len(points) == 1:
        return shapely.Point(points[0])
    if len(points) == 2:
        return shapely.LineString(points)
    return shapely.make_valid(Polygon(points))


def _area(outline: np.ndarray) -> shapely.Geometry:
    """OpenCV's contour runs through the outermost pixels' centres; tissue ends half a pixel further out."""
    return _ring(outline).buffer(0.5, join_style="mitre", cap_style="square")


def _hole(outline: np.ndarray) -> shapely.Geometry:
    """A hole's contour runs through the centres of the tissue pixels around it."""
    return _ring(outline).buffer(-0.5, join_style="mitre")


def polygons_of(area: shapely.Geometry) -> list[Polygon]:
    """The polygons that make up `area`, sorted by their upper left corner."""
    polygons = [part for part in shapely.get_parts(area) if isinstance(part, Polygon) and not part.is_empty]
    return sorted(polygons, key=lambda polygon: (polygon.bounds[1], polygon.bounds[0], -polygon.area))


def find_tissue(overview: Overview, *, mpp: float, min_region_um2: float) -> Tissue:
    """Segment tissue by its chroma.

    The glass is balanced to white, chroma is thresholded (Otsu 1979, within limits), pen marks are taken
    out, a median blur removes specks, and pieces and holes smaller than `min_region_um2` are dropped and
    filled.

    Parameters
    ----------
    mpp: µm per level-0 px.

    Raises
    ------
    Refusal
        `not_brightfield`, `odd_colours` or `no_tissue`.
    """
    glass = glass_colour(overview)
    rgb = overview.rgb.astype(np.float32)
    if saturation(glass) <= MAX_TINT:
        rgb = np.minimum(rgb * (255 / glass), 255)
    chroma = (rgb.max(axis=2) - rgb.min(axis=2)).astype(np.uint8)
    candidates = overview.scanned & ~_pen(rgb)
    otsu, _ = cv2.threshold(chroma[candidates].reshape(-1, 1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    mask = candidates & (chroma > np.clip(otsu, *CHROMA_LIMITS))

    px_um = mpp * np.sqrt(overview.downsample_x * overview.downsample_y)
    kernel = 2 * int(min(BLUR_UM / px_um, 30) / 2) + 1
    blurred = cv2.medianBlur(mask.astype(np.uint8), kernel)
    min_px = min_region_um2 / px_um**2
    kept = _large(blurred, min_px)
    kept = 1 - _large(1 - kept, min_px)
    if not kept.any():
        raise Refusal("no_tissue", f"no stained area of at least {min_region_um2:g} µm² was found")
    return Tissue(kept.astype(bool), overview.downsample_x, overview.downsample_y)


def _pen(rgb: np.ndarray) -> np.ndarray:
    """Marker ink, by hues that H&E lacks: green above red, or red far above equal green and blue."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    green_or_blue = (green > red + 12) & (np.maximum(green, blue) > red + 25)
    strong_red = (red > np.maximum(green, blue) + 80) & (np.abs(green - blue) < 25)
    ink = (green_or_blue | strong_red).astype(np.uint8)
    # Anti-aliased rims of ink have no clear hue of their own.
    return cv2.dilate(cv2.medianBlur(ink, 3), np.ones((3, 3), np.uint8)).astype(bool)


def _large(mask: np.ndarray, min_px: float) -> np.ndarray:
    """(H,W) uint8: the 8-connected pieces of `mask` with at least `min_px` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_px
    keep[0] = False
    return keep[labels].astype(np.uint8)
