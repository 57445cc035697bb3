"""The part of the configuration that says how a frozen bundle is applied to cohorts of another place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from histoweave.settings.base import Section, Share

if TYPE_CHECKING:
    pass


Align = Literal["none", "median", "quantile"]


class Apply(Section):
    """Frozen models on external cohorts. Nothing is fitted here."""

    bundle: str | None = Field(
        None, description="A bundle.zip or its unpacked folder; null: the bundles of the training cohorts of this run."
    )
    missing_genes_limit: Share = Field(
        0.2, description="An external cohort is refused if a larger share of the models' genes is missing."
    )
    align: Align = Field(
        "none",
        description="Alignment of an external cohort's RNA to the training cohort, gene by gene and without labels: by "
        "medians or by quantiles.",
    )
    insist: bool = Field(
        False,
        description="true: give probabilities (without sets, not calibrated) even for patients whose values lie outside "
        "the training range; false: withhold these predictions.",
    )
    level: float = Field(0.9, gt=0.5, lt=1, description="Stated coverage of the prediction sets.")
