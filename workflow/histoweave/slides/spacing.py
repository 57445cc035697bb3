"""Physical spacing of a slide's level 0: the table's override, else the file's own, never a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import openslide

from histoweave.settings.tiles import Tiles
from histoweave.storage.refusal import Refusal

PLAUSIBLE_MPP = (0.05, 20.0)
MAX_ANISOTROPY = 0.05


@dataclass(frozen=True)
class Spacing:
    """Spacing of level 0 in µm per px, NaN where unknown; `source` is `override`, `openslide` or `none`."""

    mpp_x: float
    mpp_y: float
    source: str

    @property
    def mpp(self) -> float:
        """One value for both axes: their mean."""
        return (self.mpp_x + self.mpp_y) / 2


UNKNOWN = Spacing(math.nan, math.nan, "none")


def _number(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def level0_spacing(properties: Mapping[str, str], override: float | None) -> Spacing:
    """Spacing of level 0: `override` (µm/px) if given, else OpenSlide's `openslide.mpp-x` and `-y`."""
    if override is not None and not math.isnan(override):
        return Spacing(override, override, "override")
    mpp_x = _number(properties.get(openslide.PROPERTY_NAME_MPP_X))
    mpp_y = _number(properties.get(openslide.PROPERTY_NAME_MPP_Y))
    if math.isnan(mpp_x) or math.isnan(mpp_y):
        return UNKNOWN
    return Spacing(mpp_x, mpp_y, "openslide")


def objection(spacing: Spacing, settings: Tiles) -> Refusal | None:
    """Why tiles cannot be cut at this spacing (`no_mpp`, `implausible_mpp`, `too_coarse`), or None."""
    if spacing.source == "none":
        return Refusal("no_mpp", "the file states no µm per px; give it in column mpp of the slides table")
    low, high = PLAUSIBLE_MPP
    x, y = spacing.mpp_x, spacing.mpp_y
    if not (low <= x <= high and low <= y <= high):
        return Refusal(
            "implausible_mpp",
            f"{x:.4g} x {y:.4g} µm per px ({spacing.source}) is outside {low} to {high}; {_advice(spacing)}",
        )
    if max(x, y) > min(x, y) * (1 + MAX_ANISOTROPY):
        return Refusal(
            "implausible_mpp",
            f"{x:.4g} µm per px in x but {y:.4g} in y: pixels are not square; if the file is wrong, give one value in column mpp of the slides table",
        )
    if spacing.mpp > settings.target_mpp * (1 + settings.mpp_tolerance):
        return Refusal(
            "too_coarse",
            f"{spacing.mpp:.4g} µm per px ({spacing.source}) is coarser than tiles.target_mpp ({settings.target_mpp:g}) "
            "allows, and enlarged pixels hold no more detail; use a finer scan of this slide, or set tiles.target_mpp "
            f"to {spacing.mpp:.4g} or more for all slides{_if_wrong(spacing)}",
        )
    return None


def _advice(spacing: Spacing) -> str:
    """How to go on with an implausible spacing: a mistake of the table or the file, or a picture that is too small."""
    if spacing.source == "override":
        return "column mpp of the slides table wants µm per px of the finest level, such as 0.25 for a 40x scan"
    if spacing.mpp > PLAUSIBLE_MPP[1]:
        return (
            "it is a thumbnail, which is too coarse for tiles (use the scan that it was made of), or the file states a "
            "resolution for print (then give the right value in column mpp of the slides table)"
        )
    return "give the right value in column mpp of the slides table"


def _if_wrong(spacing: Spacing) -> str:
    column = "column mpp of the slides table"
    return (
        f"; if {column} is wrong, fix it" if spacing.source == "override" else f"; if the file is wrong, use {column}"
    )
