"""Section concepts: what is said of the latents, and who may leave some out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from histoweave.settings.base import Section


class Concepts(Section):
    """What is said of the latents, and who may leave some out."""

    token_threshold: float = Field(0.2, ge=0, description="Activation above which a token counts as showing a concept.")
    dead_below: float = Field(
        1e-3, ge=0, description="A latent whose mean activation where it fires is lower is dead too."
    )
    top_images: int = Field(10, ge=2, le=100, description="Images that are kept per concept.")
    pooling: Literal["mean", "max", "count"] = Field("mean", description="From tokens to an image, for classification.")
    gallery: int = Field(200, ge=1, description="Concepts in the gallery.")
    review: str | None = Field(None, description="CSV that the gallery saved: names, accepted, rejected.")
    leave_out_rejected: bool = Field(False, description="Classify without rejected concepts (sae.scoring: global).")
