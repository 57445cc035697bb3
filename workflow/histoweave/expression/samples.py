"""Which RNA sample stands for a patient, and which TCGA slides may. The rule is stated here, in the docs, in
`samples.parquet` and in `slides.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from histoweave.ids import (
    dashed,
    is_tcga,
    tcga_barcode_in,
    tcga_patient,
    tcga_patients_in,
    tcga_sample_type,
    tcga_well_formed,
)

PRIMARY_TUMOUR = "01"

RULE = (
    "TCGA: primary tumours only (sample type 01; a barcode that stops at the patient counts as one); of several aliquots "
    "the first vial (01A before 01B), then the highest plate, then the highest barcode. Other ids: sample = patient."
)


def _preference(barcode: str) -> tuple:
    fields = barcode.split("-")
    vial = fields[3][2:] if len(fields) > 3 else ""
    plate = fields[5] if len(fields) > 5 else ""
    # Vials ascend; plates and barcodes descend.
    return vial, [-ord(c) for c in plate], [-ord(c) for c in barcode]


def _not_primary(kind: str) -> str:
    return f"sample type {kind} is not a primary tumour"


def choose_samples(samples: Iterable[str], *, patients: set[str], tcga: bool) -> pd.DataFrame:
    """Choose one sample per patient by `RULE`.

    Returns
    -------
    table with `sample`, `patient`, `kept` (bool) and `reason` (empty if kept), sorted by sample.
    """
    rows: list[dict[str, Any]] = []
    candidates: dict[str, list[str]] = {}
    for sample in sorted(samples):
        barcode = tcga and is_tcga(sample)
        patient = tcga_patient(sample) if barcode else sample
        kind = tcga_sample_type(sample) if barcode else None
        reason = ""
        if barcode and not tcga_well_formed(sample):
            reason = "is no TCGA barcode beyond its patient"
        elif patient not in patients:
            reason = "not in the patients table"
        elif kind not in (None, PRIMARY_TUMOUR):
            reason = _not_primary(kind)
        else:
            candidates.setdefault(patient, []).append(sample)
        rows.append({"sample": sample, "patient": patient, "kept": not reason, "reason": reason})
    table = pd.DataFrame(rows, columns=["sample", "patient", "kept", "reason"])
    for names in candidates.values():
        first, *others = sorted(names, key=_preference) if tcga else names
        for other in others:
            table.loc[table["sample"] == other, ["kept", "reason"]] = [
                False,
                f"another aliquot of the patient: {first} kept",
            ]
    return table


def slide_refusal(patient: str, names: Iterable[str]) -> tuple[str, str] | None:
    """Why a slide may not stand for a TCGA patient, by the barcodes in its names.

    Parameters
    ----------
    names : the slide's id and the names of its files.

    Returns
    -------
    status (`other_patient`, `not_primary_tumour`) and reason; None if no name speaks against it.
    """
    names = list(names)
    barcodes = [found for name in names if (found := tcga_barcode_in(name))]
    others = {other for name in names for other in tcga_patients_in(name)}
    if others - {dashed(patient)}:
        # Ids that are in no table stay out of the reason: pseudonyms do not reach them.
        return "other_patient", "its id or a file of it has another patient's barcode; fix the row of the slides table"
    kinds = [kind for _, kind in barcodes if kind != PRIMARY_TUMOUR]
    return ("not_primary_tumour", _not_primary(kinds[0])) if kinds else None
