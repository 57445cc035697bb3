"""The tables a user writes, read with errors that name file, row and column."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from histoweave.config import Cohort
from histoweave.errors import InputError, nearest
from histoweave.ids import check_ids, is_tcga, tcga_site

_SEPARATORS = {".tsv": "\t", ".txt": "\t", ".csv": ","}
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


def read_rows(path: str, *, required: list[str]) -> pd.DataFrame:
    """Read a TSV or CSV as text, empty cells as empty strings.

    Raises
    ------
    InputError
        if the file is missing, empty, of another form, or lacks a required column.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"{path}: file does not exist; check the path in the config (relative to the working directory)"
        )
    if file.suffix.lower() not in _SEPARATORS:
        raise InputError(f"{path}: unknown table form '{file.suffix}'; use .tsv or .csv")
    try:
        table = pd.read_csv(
            file, sep=_SEPARATORS[file.suffix.lower()], dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: the file is empty; it needs the columns {', '.join(required)}") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); check separators and encoding") from None
    table.columns = [str(column).strip() for column in table.columns]
    for column in required:
        if column not in table:
            hint = " (is the file tab-separated? then name it .tsv)" if "\t" in "".join(table.columns) else ""
            raise InputError(
                f"{path}: column '{column}' is missing{nearest(column, table.columns)}; "
                f"the columns are {', '.join(table.columns)}{hint}"
            )
    if table.empty:
        raise InputError(f"{path}: has a header but no rows; add at least one row")
    return table.apply(lambda column: column.str.strip())


def uses_tcga(cohort: Cohort, patients: list[str]) -> bool:
    """Whether TCGA barcode rules apply to this cohort."""
    return cohort.ids == "tcga" or (cohort.ids == "auto" and all(is_tcga(patient) for patient in patients))


def read_patients(cohort: Cohort) -> pd.DataFrame:
    """Read the patients table: `patient`, `label` (mapped; None if empty or dropped), `site` (None if unknown),
    `label_source` (as written), then covariates; in the order of the file.

    An external cohort may do without labels: where no key asks for them, the column may be absent.
    """
    file = cohort.patients
    asked = cohort.role == "train" or cohort.label_map or "label" in cohort.model_fields_set
    table = read_rows(file, required=["patient", cohort.label] if asked else ["patient"])
    if cohort.label not in table:
        table[cohort.label] = ""
    check_ids(table["patient"], file=file, column="patient")
    tcga = uses_tcga(cohort, table["patient"].to_list())
    if tcga:
        for row, patient in enumerate(table["patient"], start=2):
            if not is_tcga(patient) or len(patient) != 12:
                raise InputError(
                    f"{file}, row {row}: patient '{patient}' is not a 12-character TCGA patient barcode; "
                    "shorten it (such as TCGA-A2-A04R) or set ids: plain"
                )
    source = table[cohort.label]
    unknown = sorted(set(cohort.label_map) - set(source))
    if unknown:
        raise InputError(
            f"{file}: label_map names '{unknown[0]}', which column '{cohort.label}' does not hold"
            f"{nearest(unknown[0], set(source))}; its values are {', '.join(sorted(set(source) - {''}))}"
        )
    label = [cohort.label_map.get(value, value) or None for value in source]
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
    return pd.concat([head, covariates], axis=1)


NO_SLIDES = pd.DataFrame(columns=["slide", "patient", "path", "mpp", "coords", "features"])
RESERVED = {"label", "label_source", "n_slides", "has_image", "has_expression", "complete", "included", "reason"}


def read_slides(cohort: Cohort, *, patients: set[str], check_paths: bool = True) -> pd.DataFrame:
    """Read the slides table: `slide`, `patient`, `path`, `mpp` (float, NaN where the file's own counts), `coords` and
    `features` (files made elsewhere, empty without one).

    `check_paths` refuses paths that do not exist; a simulated cohort's are made later.
    """
    file = cohort.slides
    table = read_rows(file, required=["slide", "patient", "path"])
    check_ids(table["slide"], file=file, column="slide")
    table = table.assign(**{column: "" for column in ("mpp", "coords", "features") if column not in table})
    mpp = []
    columns = [table[column] for column in ("slide", "patient", "path", "mpp", "coords", "features")]
    for row, (slide, patient, path, text, coords, features) in enumerate(zip(*columns, strict=True), start=2):
        if patient not in patients:
            raise InputError(
                f"{file}, row {row}: slide '{slide}' belongs to unknown patient '{patient}'{nearest(patient, patients)}; "
                f"add the patient to {cohort.patients} or drop the row"
            )
        if not path and not features:
            raise InputError(f"{file}, row {row}: column 'path' of slide '{slide}' is empty; give the slide's file")
        if coords and features:
            raise InputError(
                f"{file}, row {row}: slide '{slide}' has both 'coords' and 'features'; keep 'features' alone"
            )
        for column, place in (("path", path), ("coords", coords), ("features", features)):
            if place and check_paths and cohort.simulate is None and not Path(place).exists():
                raise InputError(
                    f"{file}, row {row}: {column} '{place}' of slide '{slide}' does not exist; mend the path"
                )
        mpp.append(_mpp(text, file=file, row=row, slide=slide))
    return table[["slide", "patient", "path", "coords", "features"]].assign(mpp=mpp)


def _mpp(text: str, *, file: str, row: int, slide: str) -> float:
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not MIN_MPP <= value <= MAX_MPP:
        raise InputError(
            f"{file}, row {row}: mpp '{text}' of slide '{slide}' is not plausible; give µm per px between {MIN_MPP} and "
            f"{MAX_MPP:g} (such as 0.25), or leave it empty to use the file's own"
        )
    return value
