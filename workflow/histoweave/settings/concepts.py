"""Section concepts: what is said of the latents, and who may leave some out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from histoweave.settings.base import Section


class Concepts(Section):
    """How the latents are described, and which are left out."""

    token_threshold: float = Field(0.2, ge=0, description="Activation above which a token counts as showing a concept.")
    dead_below: float = Field(
        1e-3, ge=0, description="A latent with a lower mean activation, where it is active, also counts as dead."
    )
    top_images: int = Field(10, ge=2, le=100, description="Images kept per concept.")
    pooling: Literal["mean", "max", "count"] = Field(
        "mean", description="How tokens are combined to an image for classification."
    )
    gallery: int = Field(200, ge=1, description="Concepts in the gallery.")
    review: str | None = Field(None, description="CSV file saved in the gallery: names, accepted, rejected.")
    leave_out_rejected: bool = Field(False, description="Classify without rejected concepts (sae.scoring: global).")
