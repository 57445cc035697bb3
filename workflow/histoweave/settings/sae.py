"""Section sae: the sparse autoencoder."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from pydantic import Field

from histoweave.settings.base import Section, Share

Variant = Literal["standard", "topk", "batchtopk", "matryoshka"]


# CytoSAE (Dasdelen et al., MICCAI 2025, arXiv 2507.12464), as its released code trains it: batches of 64 images of
# 257 tokens, 24 passes over its 41,906 images, no decay and no auxiliary loss.
CYTOSAE = {
    "variant": "standard", "expansion": 64, "l1": 8e-5, "learning_rate": 4e-4, "warmup_steps": 500, "decay_share": 0.0,
    "batch_tokens": 64 * 257, "epochs": 24.0, "aux_weight": 0.0,
}  # fmt: skip


class Sae(Section):
    """The sparse autoencoder."""

    source: Literal["cells", "tiles"] = Field("cells", description="Tokens to fit on: of cells, or tile features.")
    preset: Literal["cytosae"] | None = Field(None, description="Default settings of a published method.")
    variant: Variant = "topk"
    expansion: int = Field(8, ge=1, le=256, description="Latents per dimension of a token.")
    k: int = Field(32, ge=1, description="Active latents per token (topk), or on average (batchtopk, matryoshka).")
    l1: float = Field(8e-5, ge=0, description="Weight of the L1 penalty (standard).")
    epochs: float = Field(10.0, gt=0, description="Passes over the tokens.")
    batch_tokens: int = Field(1024, ge=1, description="Tokens per optimisation step.")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0, description="Steps until the full learning rate; at most a tenth of all.")
    decay_share: Share = Field(
        0.2, description="Share of the steps, at the end, in which the learning rate falls to 0."
    )
    aux_weight: float = Field(1 / 32, ge=0, description="Weight of the loss that revives dead latents (AuxK).")
    dead_after_tokens: int | None = Field(
        None,
        ge=1,
        description="A latent counts as dead after this many tokens without activation; null: one pass, at most 10 million.",
    )
    seeds: int = Field(
        3, ge=1, le=20, description="Dictionaries from different seeds; the first provides the concepts."
    )
    scoring: Literal["fold", "global"] = Field(
        "fold", description="fold: images are scored with a dictionary fitted without them; global: one for all."
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("preset") == "cytosae":
            return {**CYTOSAE, **value}
        return value
