"""The part of the configuration that says how a frozen bundle is applied to cohorts of another place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from histoweave.errors import InputError
from histoweave.section import Section, Share

if TYPE_CHECKING:
    from histoweave.config import Cohort


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


def check_apply(settings: Apply, cohorts: Mapping[str, Cohort], *, file: str) -> None:
    """
    Raises
    ------
    InputError
        if an external cohort has slides or RNA, and there are no models to apply to it.
    """
    tissue = {name: cohort.role for name, cohort in cohorts.items() if cohort.has_tissue}
    external = [name for name, role in tissue.items() if role == "external"]
    if external and settings.bundle is None and "train" not in tissue.values():
        raise InputError(
            f"{file}: cohort '{external[0]}' is external, and there are no models for it; name a bundle in "
            "'apply.bundle', or a cohort of role train with slides or RNA"
        )
