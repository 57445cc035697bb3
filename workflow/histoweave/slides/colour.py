"""Is this brightfield, and is its glass near white? Asked before tissue is looked for."""

from __future__ import annotations

import numpy as np

from histoweave.slides.reader import Overview
from histoweave.slides.refusal import Refusal

# Rec. 601 luma, as OpenCV's RGB to grey.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LIGHTEST_SHARE = 0.1

# Lightest tenth of real slides and fields (H&E, tinted glass and fields without glass included): luma 175
# to 247, saturation 0 to 0.24. Fluorescence: luma 11. RGB-labelled YCbCr: saturation 0.48.
MIN_GLASS_LUMA = 100.0
MAX_GLASS_SATURATION = 0.35


def glass_colour(overview: Overview) -> np.ndarray:
    """Median colour of the lightest tenth of the scanned part: (3,) float32 RGB.

    Raises
    ------
    Refusal
        `no_tissue` if nothing was scanned, `not_brightfield` if the lightest part is dark, `odd_colours` if
        it is strongly coloured.
    """
    scanned = overview.rgb[overview.scanned].astype(np.float32)
    if not len(scanned):
        raise Refusal("no_tissue", "the slide is transparent everywhere")
    luma = scanned @ LUMA
    glass = np.median(scanned[luma >= np.quantile(luma, 1 - LIGHTEST_SHARE)], axis=0)
    name = "RGB " + ", ".join(f"{value:.0f}" for value in glass)
    if glass @ LUMA < MIN_GLASS_LUMA:
        raise Refusal(
            "not_brightfield",
            f"the lightest part is {name}: fluorescence or another dark background, not brightfield",
        )
    if saturation(glass) > MAX_GLASS_SATURATION:
        raise Refusal(
            "odd_colours",
            f"the lightest part is {name}, which glass is not; the file's colour space may be mislabelled",
        )
    return glass


def saturation(colour: np.ndarray) -> float:
    """HSV saturation of one RGB colour, 0 to 1."""
    return float((colour.max() - colour.min()) / max(colour.max(), 1e-6))
