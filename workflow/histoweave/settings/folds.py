"""Section folds: cross-validation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from histoweave.settings.base import Section


class Folds(Section):
    """Cross-validation over patients."""

    n_folds: int = Field(5, ge=2, le=50)
    repeats: int = Field(1, ge=1, le=100)
    group_by: Literal["auto", "patient", "site"] = Field(
        "auto",
        description="site: all patients of a site stay in one fold; auto: by site if whole sites can fill the folds, else patient.",
    )
    site_check: bool = Field(
        True,
        description="With group_by patient: also score the baselines and the main fusion model with whole sites left out.",
    )
    val_share: float = Field(
        0.2, gt=0, lt=0.5, description="Share of a fold's training patients used for early stopping."
    )
