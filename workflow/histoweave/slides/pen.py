"""Marker ink on slides, told from the stains of H&E by how it absorbs red, green and blue light."""

from __future__ import annotations

import cv2
import numpy as np

# Optical densities on real slides, as shares of that in green. In red: haematoxylin 0.9 to 1.2, eosin and blood 0.2
# to 0.35, AEC 0.4, red ink 0.1 to 0.2, green and blue ink above 1.2. In blue: eosin and blood 0.3 to 0.8, red ink 0.7
# to 1. Thin red ink and eosin are told apart by the difference of the two: 0.2 to 0.55 of eosin and blood.
BLUE_INK_RED = 1.2
RED_INK_RED = 0.33
THIN_INK_DENSITY, THIN_INK_RED, THIN_INK_BLUE_OVER_RED = 0.1, 0.25, 0.6

LEAST_CHROMA = 25  # of all that is ink by the rules below


def find_ink(rgb: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Where marker ink is: (H,W) bool.

    Blue and green stains (methyl blue, Alcian blue, methyl green) and some red ones (ponceau) absorb as ink does, and
    are taken for it.

    Parameters
    ----------
    rgb: (H,W,3) float32, 0 to 255, glass white. chroma: (H,W), largest minus smallest channel.
    """
    found = np.zeros(rgb.shape[:2], np.uint8)
    coloured = chroma >= LEAST_CHROMA
    found[coloured] = _is_ink(rgb[coloured])
    # Anti-aliased rims of ink have no clear hue of their own.
    return cv2.dilate(cv2.medianBlur(found, 3), np.ones((3, 3), np.uint8)).astype(bool)


def _is_ink(rgb: np.ndarray) -> np.ndarray:
    """Which of (N,3) colours are ink's: (N,) bool."""
    red, green, blue = rgb.T
    od_red, od_green, od_blue = -np.log10(np.maximum(rgb, 1) / 255).T
    green_or_blue = (green > red + 12) & (np.maximum(green, blue) > red + 25) & (od_red > BLUE_INK_RED * od_green)
    strong_red = (red > np.maximum(green, blue) + 80) & (np.abs(green - blue) < 25) & (od_red < RED_INK_RED * od_green)
    thin_red = (
        (od_green > THIN_INK_DENSITY)
        & (od_red < THIN_INK_RED * od_green)
        & (od_blue - od_red > THIN_INK_BLUE_OVER_RED * od_green)
    )
    return green_or_blue | strong_red | thin_red
