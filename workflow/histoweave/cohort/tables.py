"""The tables a user writes, read with errors that name file, row and column."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from histoweave.errors import InputError, nearest
from histoweave.ids import check_ids, dashed, is_tcga, tcga_site
from histoweave.tabular.missing import check_name
from histoweave.tabular.numbers import NUMBER
from histoweave.tabular.reading import Reading
from histoweave.tabular.table import UserTable, check_headings, plain_word, read_table

if TYPE_CHECKING:
    from histoweave.settings.cohorts import Cohort

MIN_MPP, MAX_MPP = 0.05, 20.0


class PatientRow(BaseModel):
    """A row of the patients table. The label column is named by the config; other columns are covariates."""

    model_config = ConfigDict(extra="allow")
    patient: str = Field(
        description="Patient id: letters, digits, '.', '_', '-'; a TCGA patient barcode has 12 characters."
    )
    label: str | None = Field(None, description="Class of the patient; empty: patient is left out.")
    site: str | None = Field(
        None, description="Source site, for site-preserved folds. TCGA ids: characters 6-7 if absent."
    )


class SlideRow(BaseModel):
    """A row of the slides table."""

    model_config = ConfigDict(extra="allow")
    slide: str = Field(description="Slide id: letters, digits, '.', '_', '-'.")
    patient: str = Field(description="A patient of the patients table.")
    path: str = Field(
        description="Slide file, or folder of ready-made tiles (or of one DICOM series); may be empty with `features`."
    )
    mpp: float | None = Field(None, ge=MIN_MPP, le=MAX_MPP, description="µm per px at level 0; overrides the file.")
    coords: str | None = Field(None, description="Tile coordinates made by CLAM, TRIDENT or STAMP, in place of ours.")
    features: str | None = Field(None, description="Tile features made by CLAM, TRIDENT or STAMP, in place of ours.")


def uses_tcga(cohort: Cohort, patients: list[str]) -> bool:
    """Whether TCGA barcode rules apply to this cohort."""
    return cohort.ids == "tcga" or (cohort.ids == "auto" and all(is_tcga(patient) for patient in patients))


def read_patients(cohort: Cohort) -> pd.DataFrame:
    """Read the patients table: `patient`, `label` (mapped; None if empty or dropped), `site` (None if unknown),
    `label_source` (as written), then covariates; in the order of the file.

    An external cohort may do without labels: where no key asks for them, the column may be absent.
    """
    return read_patients_table(cohort)[0]


def read_patients_table(cohort: Cohort) -> tuple[pd.DataFrame, Reading]:
    """As `read_patients`, and what was read of the file."""
    file = cohort.patients
    assert file is not None
    _check_names(cohort)
    asked = cohort.role == "train" or cohort.label_map or "label" in cohort.model_fields_set
    given = read_table(file, required=["patient", cohort.label] if asked else ["patient"])
    table = given.rows
    check_headings(table, ["patient", cohort.label, "site"], file=file)
    if cohort.label not in table:
        table[cohort.label] = ""
    tcga = uses_tcga(cohort, table["patient"].to_list())
    if tcga:  # R writes dots in barcodes
        table["patient"] = table["patient"].map(dashed)
    check_ids(table["patient"], file=file, column="patient", rows=given.numbers)
    for column in table.columns.drop("patient"):
        table[column] = table[column].map(plain_word)
    if tcga:
        for at, patient in enumerate(table["patient"]):
            if not is_tcga(patient) or len(patient) != 12:
                raise InputError(
                    f"{given.where(at)}: patient '{patient}' is not a 12-character TCGA patient barcode; "
                    "shorten it (such as TCGA-A2-A04R) or set ids: plain"
                )
    source = table[cohort.label]
    label_map = {plain_word(name): target for name, target in cohort.label_map.items()}
    unknown = sorted(set(label_map) - set(source))
    if unknown:
        raise InputError(
            f"{file}: label_map names '{unknown[0]}', which column '{cohort.label}' does not hold"
            f"{nearest(unknown[0], set(source))}; its values are {', '.join(sorted(set(source) - {''}))}"
        )
    label = [label_map.get(value, value) or None for value in source]
    if "site" in table:
        site = [value or None for value in table["site"]]
    else:
        site = [tcga_site(patient) if tcga else None for patient in table["patient"]]
    fixed = {"patient", "site", cohort.label}
    covariates = table[[column for column in table.columns if column not in fixed]]
    clash = sorted(set(covariates.columns) & RESERVED)
    if clash:
        raise InputError(f"{file}: column '{clash[0]}' is a name the workflow writes itself; rename the column")
    head = pd.DataFrame(
        {"patient": table["patient"], "label": label, "site": site, "label_source": source}, dtype=object
    )
    return pd.concat([head, covariates], axis=1), given.said("patients", table["patient"].to_list())


def _check_names(cohort: Cohort) -> None:
    """No class of the configuration may be called like a missing value."""
    where = f"config: the labels of {cohort.patients}"
    for source, target in cohort.label_map.items():
        check_name(source, where=f"{where}, label_map", what="class")
        if target is not None:
            check_name(target, where=f"{where}, label_map", what="class")
    if cohort.positive is not None:
        check_name(cohort.positive, where=f"{where}, positive", what="class")


NO_SLIDES = pd.DataFrame(columns=["slide", "patient", "path", "mpp", "coords", "features"])
RESERVED = {"label", "label_source", "n_slides", "has_image", "has_expression", "complete", "included", "reason"}


def read_slides(cohort: Cohort, *, patients: set[str], check_paths: bool = True) -> pd.DataFrame:
    """Read the slides table: `slide`, `patient`, `path`, `mpp` (float, NaN where the file's own counts), `coords` and
    `features` (files made elsewhere, empty without one).

    `check_paths` refuses paths that do not exist; a simulated cohort's are made later.
    """
    return read_slides_table(cohort, patients=patients, check_paths=check_paths)[0]


def read_slides_table(cohort: Cohort, *, patients: set[str], check_paths: bool = True) -> tuple[pd.DataFrame, Reading]:
    """As `read_slides`, and what was read of the file."""
    file = cohort.slides
    assert file is not None
    given = read_table(file, required=["slide", "patient", "path"])
    table = given.rows
    check_headings(table, ["slide", "patient", "path", "mpp", "coords", "features"], file=file)
    check_ids(table["slide"], file=file, column="slide", rows=given.numbers)
    table["patient"] = [dashed(name) if name not in patients else name for name in table["patient"]]
    table = table.assign(**{column: "" for column in ("mpp", "coords", "features") if column not in table})
    mpp = []
    columns = [table[column] for column in ("slide", "patient", "path", "mpp", "coords", "features")]
    for at, (slide, patient, path, text, coords, features) in enumerate(zip(*columns, strict=True)):
        where = given.where(at)
        if patient not in patients:
            raise InputError(
                f"{where}: slide '{slide}' belongs to unknown patient '{patient}'{nearest(patient, patients)}; "
                f"add the patient to {cohort.patients} or drop the row"
            )
        if not path and not features:
            raise InputError(f"{where}: column 'path' of slide '{slide}' is empty; give the slide's file")
        if coords and features:
            raise InputError(f"{where}: slide '{slide}' has both 'coords' and 'features'; keep 'features' alone")
        for column, place in (("path", path), ("coords", coords), ("features", features)):
            if place and check_paths and cohort.simulate is None:
                _check_exists(place, f"{where}: {column} '{place}' of slide '{slide}'")
        mpp.append(_mpp(text, where=where, slide=slide))
    for column in ("path", "coords", "features"):
        check_one_patient_each(table[column], table["patient"], given, what=column)
    rows = table[["slide", "patient", "path", "coords", "features"]].assign(mpp=mpp)
    return rows, given.said("slides", table["slide"].to_list())


def check_one_patient_each(places: Iterable[str], patients: Iterable[str], given: UserTable, *, what: str) -> None:
    """Refuse a file that stands in the rows of two patients, as it does where a spreadsheet filled a column down.

    Raises
    ------
    InputError
        naming both rows.
    """
    seen: dict[str, tuple[int, str]] = {}
    for at, (place, patient) in enumerate(zip(places, patients, strict=True)):
        if place:
            first, owner = seen.setdefault(os.path.normpath(place), (at, patient))
            if owner != patient:
                raise InputError(
                    f"{given.where(at)}: {what} '{place}' of patient '{patient}' is that of patient '{owner}' in row "
                    f"{given.numbers[first]} too; give each patient their own file"
                )


def _check_exists(place: str, what: str) -> None:
    """A slide that is there and may not be read yet is told by its own job; a wrong path is told before any job."""
    try:
        os.stat(place)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{what} does not exist; correct the path (relative to the working directory)") from None
    except PermissionError:
        return
    except OSError as error:
        raise InputError(f"{what} cannot be reached ({error.strerror}); correct the path") from None


def _mpp(text: str, *, where: str, slide: str) -> float:
    if not text:
        return math.nan
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not MIN_MPP <= value <= MAX_MPP:
        raise InputError(
            f"{where}: mpp '{text}' of slide '{slide}' is not plausible; give µm per px between {MIN_MPP} and "
            f"{MAX_MPP:g} (such as 0.25), or leave it empty to use the file's own"
        )
    return value
