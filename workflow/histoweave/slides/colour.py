"""Is this brightfield, and what is its glass? Asked before tissue is looked for.

Glass is light and flat: over some 40 µm its colour hardly changes, where cells and fibres do. So a field that is full
of tissue is told from a slide whose glass has a strange colour, and stain that was washed over glass from tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from histoweave.slides.reader import Overview
from histoweave.storage.pictures import resize
from histoweave.storage.refusal import Refusal

# Rec. 601 luma, as OpenCV's RGB to grey.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LIGHTEST_SHARE = 0.1
WHITE = np.full(3, 255, np.float32)

# Lightest tenth of real slides and fields (H&E, tinted glass and fields without glass included): luma 128
# to 247, saturation 0 to 0.35. Fluorescence: luma 11. RGB-labelled YCbCr: saturation 0.48.
MIN_GLASS_LUMA = 100.0
MAX_GLASS_SATURATION = 0.35
# Edge of the square over which glass is flat.
FLAT_UM, MIN_WINDOW_PX = 40.0, 5
# Standard deviation of a channel around a pixel. Glass of real slides at 8 µm per px: 0.2 to 1; tissue: 5 to 30.
MAX_FLAT_STD = 3.0
# Share of the lightest tenth that is flat. Real slides: 0.6 to 1; fields with gaps in the tissue: 0.05 to 0.6; fields
# without: 0 to 0.02.
MIN_FLAT_SHARE = 0.03
# Share of a whole picture that is light and flat, from which on it has two classes of pixels to be split.
MIN_GLASS_SHARE = 0.05
# More coloured than this and less of a picture than that, it is as likely a pale part of the tissue.
MAX_TINT, MIN_TINTED_SHARE = 0.12, 0.2
# What is flat and of this share of the glass's luma is glass, also under a film of washed-out stain.
MIN_FILM_LUMA = 0.8


@dataclass(frozen=True)
class Glass:
    """What was found of a slide's glass.

    `colour`: (3,) float32 RGB of the glass, white where there is none. `share`: of the scanned part that is glass for
    certain, 0 for a field without glass. `flat`: (H,W) bool, where nothing of a cell's size is seen.
    """

    colour: np.ndarray
    share: float
    flat: np.ndarray

    def resized(self, *, width: int, height: int) -> Glass:
        """The same for an overview of another size."""
        flat = resize(self.flat.astype(np.uint8) * 255, width=width, height=height) > 127
        return Glass(self.colour, self.share, flat)


def find_glass(overview: Overview, *, px_um: float) -> Glass:
    """Look for glass among the lightest tenth of the scanned part.

    Parameters
    ----------
    px_um: edge of a px of the overview; where that is more than some 10 µm, cells are not seen and all looks flat.

    Raises
    ------
    Refusal
        `no_tissue` if nothing was scanned, `not_brightfield` if the lightest part is dark, `odd_colours` if there is
        glass and it is strongly coloured.
    """
    rgb = overview.rgb.astype(np.float32)
    if not overview.scanned.any():
        raise Refusal("no_tissue", "the slide is transparent everywhere")
    luma = rgb @ LUMA
    lightest = overview.scanned & (luma >= np.quantile(luma[overview.scanned], 1 - LIGHTEST_SHARE))
    colour = np.median(rgb[lightest], axis=0)
    if colour @ LUMA < MIN_GLASS_LUMA:
        raise Refusal(
            "not_brightfield",
            f"the lightest part is {_name(colour)}: fluorescence or another dark background, not brightfield",
        )
    flat = overview.scanned & _is_flat(rgb, window_px=_window_px(overview, px_um=px_um))
    if flat[lightest].mean() < MIN_FLAT_SHARE:
        return Glass(WHITE, 0.0, flat)
    colour = np.median(rgb[lightest & flat], axis=0)
    if saturation(colour) > MAX_GLASS_SATURATION:
        raise Refusal(
            "odd_colours",
            f"the lightest part is {_name(colour)}, which glass is not; the file's colour space may be mislabelled",
        )
    share = float((flat & (luma > MIN_FILM_LUMA * (colour @ LUMA)))[overview.scanned].mean())
    if saturation(colour) > MAX_TINT and share < MIN_TINTED_SHARE:
        return Glass(WHITE, 0.0, flat)
    return Glass(colour, share, flat)


def _window_px(overview: Overview, *, px_um: float) -> int:
    """Odd edge of the square over which glass is flat, at most a quarter of the picture."""
    edge_um = min(FLAT_UM, min(overview.scanned.shape) * px_um / 4)
    return odd_px(edge_um, px_um=px_um, least=MIN_WINDOW_PX)


def odd_px(edge_um: float, *, px_um: float, least: int = 1) -> int:
    """An edge in px, odd, at least `least`."""
    return max(2 * int(edge_um / px_um / 2) + 1, least)


def _is_flat(rgb: np.ndarray, *, window_px: int) -> np.ndarray:
    """Where no channel changes by more than `MAX_FLAT_STD` within the window, noise of single pixels aside: (H,W) bool."""
    window = (window_px, window_px)
    flat = np.ones(rgb.shape[:2], bool)
    for channel in cv2.split(rgb):
        # Around white, so that float32 keeps the small differences of light colours.
        from_white = cv2.blur(channel, (3, 3)) - 255
        flat &= cv2.blur(from_white**2, window) - cv2.blur(from_white, window) ** 2 < MAX_FLAT_STD**2
    return flat


def saturation(colour: np.ndarray) -> float:
    """HSV saturation of one RGB colour, 0 to 1."""
    return float((colour.max() - colour.min()) / max(colour.max(), 1e-6))


def _name(colour: np.ndarray) -> str:
    return "RGB " + ", ".join(f"{value:.0f}" for value in colour)
