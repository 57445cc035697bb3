"""Section tiles: tissue segmentation and the tile grid."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from histoweave.settings.base import Section, Share

Pen = Literal["remove", "keep"]


class Tiles(Section):
    """Tissue segmentation and the tile grid."""

    tile_px: int = Field(224, ge=16, le=4096, description="Edge of a tile in px at `target_mpp`.")
    target_mpp: float = Field(0.5, ge=0.05, le=20, description="µm per px of a tile.")
    overlap_px: int = Field(0, ge=0, description="Overlap of neighbouring tiles in px at `target_mpp`.")
    mpp_tolerance: Share = Field(0.05, description="A slide this much coarser than `target_mpp` is still accepted.")
    min_tissue: Share = Field(0.5, description="Minimum share of tissue in a tile.")
    segmentation_mpp: float = Field(8.0, gt=0, description="Resolution of tissue detection, µm per px.")
    min_region_um2: float = Field(20000.0, ge=0, description="Smaller tissue pieces and holes are ignored.")
    pen: Pen = Field(
        "remove",
        description="Areas in the colours of marker ink: remove, for H&E; keep, for stains that look like "
        "ink (Masson's trichrome, Alcian blue, methyl green and other blue, green or red ones).",
    )
    max_pen_share: Share = Field(
        0.5, description="A slide is excluded if a larger share of its stained area has the colours of marker ink."
    )
    max_failed_share: Share = Field(
        0.1, description="A slide is excluded if a larger share of its tiles is unreadable."
    )
