"""What is asked and done where an external cohort's RNA comes from another platform: units, alignment, and their record."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd

from histoweave.apply import align, reference
from histoweave.apply.compatibility import Check
from histoweave.apply.manifest import ExpressionIdentity
from histoweave.apply.read import Bundle
from histoweave.fusion import catalog
from histoweave.fusion.catalog import EXPRESSION
from histoweave.fusion.patients import PatientSet
from histoweave.settings.apply import Align

UNIT = "expression unit"


def with_other_units(
    checks: list[Check], *, unit: str | None, training: ExpressionIdentity | None, method: Align
) -> list[Check]:
    """The checks, in which another unit is a warning where `units_may_differ`.

    Parameters
    ----------
    checks : of the RNA. unit : of the cohort. training : of the bundle's manifest. method : `apply.align`.
    """
    if training is None or not align.units_may_differ(method, transform=training.transform):
        return checks
    why = "the models use ranks within each patient" if method == "none" else "each gene is aligned to training"
    says = f"{unit} here and {training.unit} in training; allowed because {why}"
    return [
        dataclasses.replace(check, status="warn", says=says)
        if check.what == UNIT and check.status == "refused"
        else check
        for check in checks
    ]


def check_alignment(bundle: Bundle, *, n: int, method: Align) -> list[Check]:
    """Whether the RNA of n patients can be aligned, and that it is; nothing where nobody asked or no model reads RNA."""
    if method == "none" or not n or bundle.manifest.expression is None:
        return []
    against = align.too_few(method, n)
    if not against and method == "quantile" and not bundle.has(reference.QUANTILES):
        against = align.WITHOUT_QUANTILES
    if against:
        return [Check("alignment of RNA", "refused", against)]
    return [Check("alignment of RNA", "warn", align.statement(method, n))]


def alignment_record(checks: list[Check], *, n: int, method: Align) -> dict[str, Any]:
    """`alignment` of `compatibility.json`: `method`, `n_patients` (with RNA) and what `says` it; of none null, 0, empty."""
    says = [check.says for check in checks if check.what == "alignment of RNA" and check.status != "refused"]
    return {"method": method if says else "none", "n_patients": n if says else 0, "says": says[0] if says else ""}


def aligned_patients(bundle: Bundle, patients: PatientSet, *, method: Align) -> PatientSet:
    """The patients, their RNA on the scale of training.

    Raises
    ------
    InputError
        for too few patients, or a bundle that lacks what the method needs.
    """
    if patients.expression is None:
        return patients
    return dataclasses.replace(patients, expression=_aligned(bundle, patients.expression, method=method))


def _aligned(bundle: Bundle, expression: pd.DataFrame, *, method: Align) -> pd.DataFrame:
    """The RNA (patients × genes, log2) on the scale of training, as it is where nobody asked."""
    if method == "none" or not bundle.has(reference.GENES):
        return expression
    quantiles = reference.read_quantiles(bundle.folder) if bundle.has(reference.QUANTILES) else None
    median = reference.read_reference(bundle.folder, reference.GENES)["median"]
    return align.aligned(expression, align=method, median=median, quantiles=quantiles)


def as_read(
    bundle: Bundle, expression: pd.DataFrame | None, comparable: set[str], *, checks: list[Check], method: Align
) -> tuple[pd.DataFrame | None, set[str]]:
    """The RNA as models read it, to be judged by the training range, and the modalities that can be judged.

    Ranks within a patient do not depend on the range of values, so RNA is not judged for models that read them; nor is it
    where alignment is refused.

    Parameters
    ----------
    expression : patients × genes, log2, or None. comparable : modalities that are not refused.
    checks : of `check_alignment`.
    """
    identity = bundle.manifest.expression
    if expression is None or identity is None:
        return expression, comparable
    if identity.transform == "ranks" or any(check.status == "refused" for check in checks):
        return expression, comparable - {EXPRESSION}
    return _aligned(bundle, expression, method=method), comparable


def alignments(predictions: pd.DataFrame, *, method: Align) -> list[str]:
    """`alignment` of each prediction: the method where the model reads RNA and the patient has some, else none."""
    reads = predictions["model"].map(lambda name: EXPRESSION in catalog.get(name).modalities)
    moved = reads.astype(bool) & predictions["has_expression"].astype(bool)
    return [method if is_moved else "none" for is_moved in moved]
