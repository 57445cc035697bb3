"""The explanations' part of the configuration."""

from __future__ import annotations

from pydantic import Field

from histoweave.settings.base import Section


class Explain(Section):
    """Which models are explained, and how. Nothing here changes a prediction."""

    models: list[str] | None = Field(
        None,
        description="Models that are explained; null: the last neural one of `fusion.models` that reads image and RNA, "
        "else all neural ones.",
    )
    steps: int = Field(32, ge=2, le=1000, description="Points at which gradients are taken along the path.")
    random_orders: int = Field(
        5, ge=1, le=100, description="Random orders that deletion and insertion are held against."
    )
    top_tiles: int = Field(8, ge=1, le=100, description="Tiles shown per patient at either end of the ranking.")
    gene_sets: str | None = Field(
        None, description="GMT file; null: that of `fusion.gene_sets`, else the learned gene groups of the first fold."
    )
