"""Ids are data, not paths. TCGA barcodes: patient = 12 characters, sample type = characters 14-15, vial = 16.

Source: GDC documentation, "TCGA Barcode".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from histoweave.errors import InputError

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TCGA = re.compile(r"TCGA[-.][A-Z0-9]{2}[-.][A-Z0-9]{4}(?:$|[-.])")

# Patient, sample type and vial; no vial is called X, so that 20x and 40x stay magnifications.
_TCGA_SAMPLE = re.compile(r"(TCGA)[-._]([A-Z0-9]{2})[-._]([A-Z0-9]{4})[-._](\d{2})[A-WYZ]?(?=[-._ ]|$)", re.IGNORECASE)
_TCGA_ANYWHERE = re.compile(r"(?<![A-Z0-9])(TCGA)[-._]([A-Z0-9]{2})[-._]([A-Z0-9]{4})(?![A-Z0-9])", re.IGNORECASE)
_TCGA_FULL = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(-\d{2}[A-Z]?(-[A-Za-z0-9]+)*)?")


def check_ids(values: Iterable[str], *, file: str, column: str, rows: Iterable[int] | None = None) -> None:
    """Refuse ids that are empty, repeated, or could be read as a path or a shell word.

    rows: the line of the file that each value stands on; default: one after the other below a header in row 1.

    Raises
    ------
    InputError
        naming the file, the row (line of the file) and the id.
    """
    seen: dict[str, int] = {}
    for row, value in zip(itertools.count(2) if rows is None else rows, values, strict=False):
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{file}, row {row}: column '{column}' is empty; give every row an id")
        if not ID.fullmatch(value):
            raise InputError(
                f"{file}, row {row}: {column} '{value}' is not a valid id; "
                "use letters, digits, '.', '_' and '-' only, starting with a letter or digit"
            )
        if value in seen:
            raise InputError(
                f"{file}, row {row}: {column} '{value}' is a duplicate id, already in row {seen[value]}; "
                "keep one row per id"
            )
        seen[value] = row


def is_tcga(identifier: str) -> bool:
    """True for a TCGA barcode of any length from the patient on, with dashes or (as R writes them) dots."""
    return bool(_TCGA.match(identifier))


def dashed(barcode: str) -> str:
    """Return a TCGA barcode with dashes where R has put dots; any other id as it is."""
    return barcode.replace(".", "-") if is_tcga(barcode) else barcode


def tcga_patient(barcode: str) -> str:
    """The patient part (12 characters) of a TCGA barcode."""
    return dashed(barcode)[:12]


def tcga_site(barcode: str) -> str:
    """The tissue source site (characters 6-7) of a TCGA barcode."""
    return dashed(barcode)[5:7]


def tcga_barcode_in(name: str) -> tuple[str, str] | None:
    """Patient (12 characters) and sample type (two digits) of a slide's id or file name that begins with the barcode of
    a TCGA sample (`TCGA-A2-A04R-01Z-00-DX1.<uuid>.svs`); None for any other name.
    """
    found = _TCGA_SAMPLE.match(name)
    return ("-".join(found.group(1, 2, 3)).upper(), found[4]) if found else None


def tcga_patients_in(name: str) -> list[str]:
    """The patients (12 characters) of all TCGA barcodes anywhere in a name."""
    return ["-".join(found.groups()).upper() for found in _TCGA_ANYWHERE.finditer(name)]


def tcga_well_formed(barcode: str) -> bool:
    """Whether what follows the patient is nothing, or begins with a sample type and a vial: not R's mark of a repetition."""
    return _TCGA_FULL.fullmatch(dashed(barcode)) is not None


def tcga_sample_type(barcode: str) -> str | None:
    """The two-digit sample type ('01' primary tumour, '06' metastasis, '11' normal), None for a patient barcode."""
    barcode = dashed(barcode)
    return barcode[13:15] if len(barcode) >= 15 else None
