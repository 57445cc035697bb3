"""Tissue on a low-resolution overview: the mask, and its contours as polygons in level-0 px."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from shapely.geometry import Polygon

from histoweave.settings.tiles import Tiles
from histoweave.slides.colour import (
    FLAT_UM,
    LUMA,
    MIN_FILM_LUMA,
    MIN_GLASS_SHARE,
    MIN_WINDOW_PX,
    Glass,
    find_glass,
    odd_px,
)
from histoweave.slides.pen import find_ink
from histoweave.slides.reader import Overview
from histoweave.storage.refusal import Refusal

# Chroma (largest minus smallest channel, 0 to 255) that separates tissue from glass lies between these:
# below the first is noise of empty glass, above the second pale stroma is lost on slides with much dark or
# pen-marked area.
CHROMA_LIMITS = (14, 30)
# Mean chroma of faint tissue, and the least width of its pieces: twice that of the rim which looks uneven at an edge.
MIN_FAINT_CHROMA, MIN_FAINT_UM = 7, 90.0
BLUR_UM = 40.0
# µm per px at which glass is told from tissue: coarser, cells are not seen; finer, neither are the gaps in fat.
GLASS_MPP = 8.0
# A small picture is looked at in no fewer px than this along its shorter edge.
MIN_EDGE_PX = 64


@dataclass(frozen=True)
class Tissue:
    """`mask` (H,W) bool on the overview; `downsample_x`, `downsample_y`: level-0 px per mask px.

    `pen_share`: share of the stained area that was taken out as marker ink, NaN where ink was not looked for.
    """

    mask: np.ndarray
    downsample_x: float
    downsample_y: float
    pen_share: float = math.nan

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


def downsamples(*, size_lv0: tuple[int, int], mpp: float, segmentation_mpp: float) -> tuple[float, float]:
    """Level-0 px per px at which glass is told from tissue, and of the mask; both are finer on a small picture."""
    most = min(size_lv0) / MIN_EDGE_PX
    glass, mask = (max(1.0, min(wanted / mpp, most)) for wanted in (GLASS_MPP, segmentation_mpp))
    return glass, mask


def find_tissue(overview: Overview, *, mpp: float, settings: Tiles) -> Tissue:
    """Segment tissue by its chroma.

    The glass is balanced to white, chroma is thresholded (Otsu 1979, within limits), marker ink (with `pen: remove`) and
    flat films of stain on the glass are taken out, a median blur removes specks, and pieces and holes smaller than
    `min_region_um2` are dropped and filled; on a small picture a quarter of it counts instead. Where there is hardly any
    glass, all that has colour or structure is tissue.

    Parameters
    ----------
    overview: at most as coarse as both of `downsamples`.
    mpp: µm per level-0 px.

    Raises
    ------
    Refusal
        `not_brightfield`, `odd_colours`, `pen_marks` or `no_tissue`.
    """
    for_glass, for_mask = downsamples(size_lv0=overview.size_lv0, mpp=mpp, segmentation_mpp=settings.segmentation_mpp)
    looked_at = overview.shrunk(downsample=for_glass)
    overview = overview.shrunk(downsample=for_mask)
    height, width = overview.scanned.shape
    px_um = mpp * overview.downsample
    glass = find_glass(looked_at, px_um=mpp * looked_at.downsample).resized(width=width, height=height)
    rgb = np.minimum(overview.rgb.astype(np.float32) * (255 / glass.colour), 255)
    red, green, blue = cv2.split(rgb)
    chroma = (np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)).astype(np.uint8)

    marks = find_ink(rgb, chroma) if settings.pen == "remove" else np.zeros(chroma.shape, bool)
    if glass.share < MIN_GLASS_SHARE:
        stained = overview.scanned & _is_no_gap(chroma, glass=glass)
    else:
        stained = overview.scanned & _is_stained(rgb, chroma, glass=glass, scanned=overview.scanned, marks=marks)
    pen_share = _share(marks, of=stained) if settings.pen == "remove" else math.nan
    if pen_share > settings.max_pen_share:
        raise _pen_refusal(pen_share, most=settings.max_pen_share)

    mask = cv2.medianBlur((stained & ~marks).astype(np.uint8), odd_px(min(BLUR_UM, 30 * px_um), px_um=px_um))
    min_px = min(settings.min_region_um2 / px_um**2, overview.scanned.sum() / 4)
    kept = _large(mask, min_px)
    if not kept.any():
        faint = overview.scanned & ~marks & _is_faint(chroma, glass=glass, px_um=px_um)
        kept = _large(faint.astype(np.uint8), min_px)
    if not kept.any():
        area = f"{min_px * px_um**2:.6g} µm²"
        raise Refusal("no_tissue", f"no stained area of at least {area} was found", pen_share=pen_share)
    kept = 1 - _large(1 - kept, min_px)
    return Tissue(kept.astype(bool), overview.downsample_x, overview.downsample_y, pen_share=pen_share)


def _pen_refusal(share: float, *, most: float) -> Refusal:
    return Refusal(
        "pen_marks",
        f"{share:.0%} of the stained area has the colours of marker ink (tiles.max_pen_share is {most:g}); if that is a "
        "stain, such as methyl blue, aniline blue or Alcian blue, set tiles.pen to keep; if it is ink and the rest is to "
        "be used, set tiles.max_pen_share to 1",
        pen_share=share,
    )


def _share(part: np.ndarray, *, of: np.ndarray) -> float:
    """How much of the pixels of one mask another covers; 0 of none."""
    return float(part[of].mean()) if of.any() else 0.0


def _is_no_gap(chroma: np.ndarray, *, glass: Glass) -> np.ndarray:
    """Tissue of a field with little or no glass to compare it with: (H,W) bool, what has colour or structure."""
    return ~glass.flat | (chroma > CHROMA_LIMITS[0])


def _is_faint(chroma: np.ndarray, *, glass: Glass, px_um: float) -> np.ndarray:
    """Sparsely stained tissue, such as immunohistochemistry with a pale counterstain: (H,W) bool.

    Structure with some colour, over more than the width of a scratch or the rim of a bubble.
    """
    window, width = (odd_px(um, px_um=px_um, least=3) for um in (FLAT_UM, MIN_FAINT_UM))
    structure = ~glass.flat & (cv2.blur(chroma, (window, window)) > MIN_FAINT_CHROMA)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return cv2.morphologyEx(structure.astype(np.uint8), cv2.MORPH_OPEN, disc).astype(bool)


def _is_stained(
    rgb: np.ndarray, chroma: np.ndarray, *, glass: Glass, scanned: np.ndarray, marks: np.ndarray
) -> np.ndarray:
    """Where there is more colour than glass has, ink included: (H,W) bool."""
    # Ink would draw the threshold away from pale tissue.
    classes = scanned & ~marks if (scanned & ~marks).any() else scanned
    otsu, _ = cv2.threshold(chroma[classes].reshape(-1, 1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    film = glass.flat & (rgb @ LUMA > MIN_FILM_LUMA * 255)
    grown = cv2.morphologyEx(film.astype(np.uint8), cv2.MORPH_OPEN, np.ones((MIN_WINDOW_PX, MIN_WINDOW_PX)))
    return (chroma > np.clip(otsu, *CHROMA_LIMITS)) & (grown == 0)


def _large(mask: np.ndarray, min_px: float) -> np.ndarray:
    """(H,W) uint8: the 8-connected pieces of `mask` with at least `min_px` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_px
    keep[0] = False
    return keep[labels].astype(np.uint8)
