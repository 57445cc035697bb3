"""Section evaluation: metrics and intervals."""

from __future__ import annotations

from pydantic import Field

from histoweave.settings.base import Section


class Evaluation(Section):
    """Metrics and intervals."""

    bootstrap: int = Field(
        2000,
        ge=1000,
        description="Bootstrap draws over patients, or over whole sites if the folds keep sites together.",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1)
    permutations: int = Field(20, ge=1, description="Permutations of a modality between the patients of a test fold.")
    confounders: list[str] = Field(
        [],
        description="Columns of the patients table that may explain a result; site and scanner are always checked.",
    )
