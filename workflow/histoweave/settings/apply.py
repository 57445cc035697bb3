"""The part of the configuration that says how a frozen bundle is applied to cohorts of another place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from histoweave.settings.base import Section, Share

if TYPE_CHECKING:
    pass


Align = Literal["none", "median", "quantile"]


class Apply(Section):
    """Frozen models on external cohorts. Nothing here fits anything."""

    bundle: str | None = Field(
        None, description="A bundle.zip or its unpacked folder; null: the bundles of this run's own training cohorts."
    )
    missing_genes_limit: Share = Field(
        0.2, description="An external cohort that lacks a larger share of the models' genes is refused."
    )
    align: Align = Field(
        "none",
        description="Whether an external cohort's RNA is moved to training, gene by gene and without labels: by its "
        "medians, or by quantiles.",
    )
    insist: bool = Field(
        False,
        description="Probabilities, without sets and without calibration, also of patients whose values lie outside what "
        "the models were fitted on; false: their predictions are withheld.",
    )
    level: float = Field(0.9, gt=0.5, lt=1, description="Coverage that the sets of classes are made for.")
