"""The user's table of cells: where each picture lies, what is to be cut out of it, whose it is, what is known of it."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from histoweave.cohort.tables import check_one_patient_each
from histoweave.errors import InputError, nearest
from histoweave.ids import ID, check_ids, dashed
from histoweave.tabular.missing import check_name
from histoweave.tabular.numbers import NUMBER
from histoweave.tabular.reading import Reading
from histoweave.tabular.table import UserTable, check_headings, plain_word, read_table

BOX = ["xmin", "ymin", "xmax", "ymax"]
CENTRE = ["x", "y", "size_px"]
# Columns of the images table (docs/artefacts.md), which an attribute cannot have.
RESERVED = (
    "image", "cell", "patient", "label", "patient_label", "site", "status", "reason", "content", "path", "member", *BOX,
)  # fmt: skip


class CellRow(BaseModel):
    """A row of the cells table. Pixels are counted from the upper left corner of the picture as it is shown."""

    model_config = ConfigDict(extra="allow")
    cell: str = Field(description="Cell id: letters, digits, '.', '_', '-'.")
    path: str = Field(description="Picture (JPEG, PNG, BMP, TIFF), or a .zip archive that holds it as `member`.")
    member: str | None = Field(None, description="Name of the picture inside the archive.")
    xmin: float | None = Field(None, description="Box of the cell in px, with `ymin`, `xmax`, `ymax`; empty: no box.")
    ymin: float | None = None
    xmax: float | None = None
    ymax: float | None = None
    x: float | None = Field(None, description="Centre of the cell in px, with `y` and `size_px`, in place of a box.")
    y: float | None = None
    size_px: float | None = Field(None, description="Edge of the square around the centre in px.")
    patient: str | None = Field(None, description="A patient of the patients table, if the cohort has one.")
    label: str | None = Field(None, description="Class of the cell, such as its type; empty: not known.")


def read_cells(file: str, **how: Any) -> pd.DataFrame:
    """The cells alone of `read_cells_table`."""
    return read_cells_table(file, **how)[0]


def read_cells_table(
    file: str,
    *,
    attributes: Collection[str] = (),
    label_map: Mapping[str, str | None] = MappingProxyType({}),
    patients: Collection[str] | None = None,
    patients_file: str = "the patients table",
    check_paths: bool = True,
) -> tuple[pd.DataFrame, Reading]:
    """Read the cells table.

    Parameters
    ----------
    file, attributes, label_map: `table`, `attributes` and `label_map` of `settings.cohorts.CellInput`.
    patients: ids of the patients table `patients_file`; None for a cohort without one.
    check_paths: refuse folders and archives that do not exist (a single picture that is missing is refused later, by
        itself); the pictures of a simulated cohort are made later.

    Returns
    -------
    The cells in the order of the file, and what was read of it. Columns: `cell`; `patient`, the cell's own id where none
    is given; `path`; `member`, empty without an archive; the box `xmin`, `ymin`, `xmax`, `ymax` in px of the picture,
    float64, NaN without one; `label` and the columns of `attributes` as text, None where they are empty.

    Raises
    ------
    InputError
        naming the file, and the row (the header is row 1) and column that is wrong.
    """
    _check_attributes(file, attributes)
    _check_label_map(file, label_map)
    given = read_table(file, required=["cell", "path", *attributes])
    table = given.rows
    check_headings(table, [*CellRow.model_fields, *attributes], file=file)
    check_ids(table["cell"], file=file, column="cell", rows=given.numbers)
    if patients is not None and "patient" in table:
        table["patient"] = [dashed(name) if name not in patients else name for name in table["patient"]]
    for column in {"label", *attributes} & set(table):
        table[column] = table[column].map(plain_word)
    member = table["member"] if "member" in table else pd.Series("", index=table.index)
    _check_places(table["path"], member, given, check_paths=check_paths)
    blank_to_none = {column: _text(table, column) for column in dict.fromkeys(["label", *attributes])}
    blank_to_none["label"] = _mapped(blank_to_none["label"], label_map, file=file)
    head = {
        "cell": table["cell"],
        "patient": _patients(given, patients=patients, patients_file=patients_file),
        "path": table["path"],
        "member": member,
    }
    boxes = _boxes(given)
    if "patient" in table and (table["patient"] != "").any():
        # A field may hold cells of several patients, the picture of one cell may not.
        pictures = (table["path"] + "/" + member).where(np.isnan(boxes[BOX[0]]), "")
        check_one_patient_each(pictures, head["patient"], given, what="the picture")
    cells = pd.DataFrame({**head, **boxes, **blank_to_none})
    return cells, given.said("cells", table["cell"].to_list())


def _text(table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table:
        return pd.Series(None, index=table.index, dtype=object)
    return table[column].where(table[column] != "", None).astype(object)


def _mapped(labels: pd.Series, label_map: Mapping[str, str | None], *, file: str) -> pd.Series:
    """Labels renamed or merged; None for those that the map drops."""
    known = set(labels.dropna())
    label_map = {plain_word(name): target for name, target in label_map.items()}
    for label in label_map:
        if label not in known:
            raise InputError(
                f"{file}: cells.label_map names '{label}', which column 'label' does not hold"
                f"{nearest(label, known)}; its values are {', '.join(sorted(known)) or 'none'}"
            )
    return labels.map(lambda label: label_map.get(label, label)).astype(object)


def _check_label_map(file: str, label_map: Mapping[str, str | None]) -> None:
    for name in (*label_map, *(target for target in label_map.values() if target is not None)):
        check_name(name, where=f"{file}: cells.label_map", what="class")


def _check_attributes(file: str, attributes: Collection[str]) -> None:
    repeated = next((name for name, n in Counter(attributes).items() if n > 1), None)
    if repeated is not None:
        raise InputError(f"{file}: cells.attributes names '{repeated}' twice; keep it once")
    for attribute in attributes:
        if attribute in RESERVED:
            raise InputError(
                f"{file}: cells.attributes names '{attribute}', which is no attribute; "
                f"the columns {', '.join(RESERVED)} have a meaning of their own"
            )


def _first(wrong: pd.Series | np.ndarray) -> int | None:
    """Position of the first row that is wrong, None if all are right."""
    wrong = np.asarray(wrong)
    return int(wrong.argmax()) if wrong.any() else None


def _patients(given: UserTable, *, patients: Collection[str] | None, patients_file: str) -> pd.Series:
    file, table = given.file, given.rows
    if "patient" not in table or not (table["patient"] != "").any():
        if patients is not None:
            raise InputError(
                f"{file}: column 'patient' is missing or empty, but the cohort has {patients_file}; "
                "name the patient of each cell"
            )
        return table["cell"]
    whose = table["patient"]
    if (at := _first(whose == "")) is not None:
        raise InputError(
            f"{given.where(at)}: column 'patient' of cell '{table['cell'][at]}' is empty; "
            "give every cell a patient, or none of them"
        )
    known = whose.unique() if patients is None else list(patients)
    valid = {patient for patient in known if ID.fullmatch(patient)}
    if (at := _first(~whose.isin(valid))) is not None:
        row = f"{given.where(at)}: cell '{table['cell'][at]}' belongs to"
        if patients is None:
            raise InputError(
                f"{row} '{whose[at]}', which is not a valid patient id; "
                "use letters, digits, '.', '_' and '-' only, starting with a letter or digit"
            )
        raise InputError(
            f"{row} unknown patient '{whose[at]}'{nearest(whose[at], known)}; "
            f"add the patient to {patients_file} or drop the row"
        )
    return whose


def _check_places(path: pd.Series, member: pd.Series, given: UserTable, *, check_paths: bool) -> None:
    """Paths are given, members belong to archives and archives have them; folders and archives exist."""
    is_zip = path.str.lower().str.endswith(".zip")
    problems = (
        (path == "", "column 'path' is empty; give the picture's file"),
        (is_zip & (member == ""), "column 'member' is empty; name the picture inside the archive"),
        (~is_zip & (member != ""), "column 'member' is given, but 'path' is no .zip archive; leave one of them out"),
    )
    for wrong, words in problems:
        if (at := _first(wrong)) is not None:
            raise InputError(f"{given.where(at)}: {words}")
    if not check_paths:
        return
    # Stating every picture would take minutes on a network drive; a wrong path shows in its folder or archive.
    place = path.where(is_zip, path.map(lambda name: str(Path(name).parent)))
    for at, where in place.drop_duplicates().items():
        _check_place(where, is_archive=bool(is_zip[at]), row=given.where(at))


def _check_place(place: str, *, is_archive: bool, row: str) -> None:
    """A folder or an archive that is there and may not be read is told by the cells' own job."""
    kind = "archive" if is_archive else "folder"
    try:
        mode = os.stat(place).st_mode
        found = stat.S_ISREG(mode) if is_archive else stat.S_ISDIR(mode)
    except (FileNotFoundError, NotADirectoryError):
        found = False
    except PermissionError:
        return
    except OSError as error:
        raise InputError(
            f"{row}: the {kind} '{place}' in column 'path' cannot be reached ({error.strerror}); correct the path"
        ) from None
    if not found:
        raise InputError(
            f"{row}: the {kind} '{place}' in column 'path' does not exist; "
            "correct the path (relative to the working directory)"
        )


def _boxes(given: UserTable) -> dict[str, np.ndarray]:
    """The box of every row, (N,) float64 per side: as given, or around the centre."""
    box, has_box = _numbers(given, BOX)
    centre, has_centre = _numbers(given, CENTRE)
    if (at := _first(has_box & has_centre)) is not None:
        raise InputError(
            f"{given.where(at)}: has both a box ({', '.join(BOX)}) and a centre ({', '.join(CENTRE)}); keep one"
        )
    half = centre[:, 2] / 2
    around = np.stack([centre[:, 0] - half, centre[:, 1] - half, centre[:, 0] + half, centre[:, 1] + half], axis=1)
    return dict(zip(BOX, np.where(has_box[:, None], box, around).T, strict=True))


def _numbers(given: UserTable, columns: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(N,C) float64, NaN in rows in which all are empty, and (N,) bool: whether a row has them."""
    file, table = given.file, given.rows
    present = [column for column in columns if column in table]
    if not present:
        return np.full((len(table), len(columns)), np.nan), np.zeros(len(table), bool)
    if len(present) < len(columns):
        missing = next(column for column in columns if column not in table)
        raise InputError(f"{file}: has column '{present[0]}' but not '{missing}'; give {', '.join(columns)} together")
    text = table[columns]
    values = np.stack(
        [[float(cell) if NUMBER.fullmatch(cell) else np.nan for cell in text[column]] for column in columns], axis=1
    )
    some = (text != "").to_numpy().any(axis=1)
    wrong = some[:, None] & ~np.isfinite(values)
    if (at := _first(wrong.any(axis=1))) is not None:
        column = columns[int(wrong[at].argmax())]
        raise InputError(
            f"{given.where(at)}: column '{column}' is '{text[column].iloc[at]}', not a number of px; "
            f"give {', '.join(columns)}, or leave all of them empty"
        )
    return values, some
