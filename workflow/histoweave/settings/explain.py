"""The explanations' part of the configuration."""

from __future__ import annotations

from pydantic import Field

from histoweave.settings.base import Section


class Explain(Section):
    """Which models are explained, and how. Nothing here changes a prediction."""

    models: list[str] | None = Field(
        None,
        description="Models to explain; null: the last neural model of `fusion.models` that uses image and RNA, "
        "otherwise all neural models.",
    )
    steps: int = Field(
        32,
        ge=2,
        le=1000,
        description="Number of steps along the path of integrated gradients; for a patient with more than 4,096 tiles fewer in "
        "proportion, down to 8.",
    )
    random_orders: int = Field(
        5, ge=1, le=100, description="Random orders that deletion and insertion are compared with."
    )
    top_tiles: int = Field(8, ge=1, le=100, description="Tiles shown per patient at each end of the ranking.")
    gene_sets: str | None = Field(
        None, description="GMT file; null: `fusion.gene_sets`, otherwise the learned gene groups of the first fold."
    )
