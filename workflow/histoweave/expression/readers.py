"""Expression files of every accepted form, read into one shape: samples × genes, float64."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from histoweave.errors import InputError, short
from histoweave.expression.gene_rows import describes, keep_genes
from histoweave.expression.star import read_star_folder
from histoweave.ids import dashed, is_tcga, tcga_patient
from histoweave.storage.given_files import objection_to
from histoweave.tabular.matrix import check_unique, is_heading, read_matrix
from histoweave.tabular.missing import is_missing
from histoweave.tabular.named_matrix import NamedMatrix
from histoweave.tabular.numbers import NUMBER
from histoweave.tabular.reading import Reading

if TYPE_CHECKING:
    from histoweave.settings.cohorts import ExpressionInput

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Matrix:
    """Expression values as the file has them: `values` (samples × genes, float64, NaN = missing).

    `left_out` and `names_from` are those of `gene_rows.Genes`.
    """

    values: pd.DataFrame
    orientation: str
    file: str
    reading: Reading
    left_out: dict[str, list[str]] = field(default_factory=dict)
    names_from: str = ""


def read_expression(source: ExpressionInput, *, patients: set[str], tcga: bool) -> Matrix:
    """Read `source` and put samples in rows.

    Parameters
    ----------
    patients : patient ids of the patients table; they tell which side of a matrix holds the samples.
    tcga : join sample names on the 12-character patient part of a TCGA barcode.

    Raises
    ------
    InputError
        for an empty or unreadable file, non-numeric or negative values, duplicate samples, a matrix given the
        wrong way round, one whose two sides both hold patients, or one that holds none of them.
    """
    path = Path(source.path)
    if not os.path.isdir(path) and (against := objection_to(path)):
        raise InputError(f"{path}: the expression of the cohort {against}")
    if os.path.isdir(path):
        table, notes = read_star_folder(path, source)
        values, orientation, words = table.T, "genes_by_samples", {}
        n_rows, n_columns = table.shape
        reading = Reading(str(path), "STAR-Counts files", n_rows, n_columns, notes=notes)
        place = _place_in_lines(None)
    else:
        # A patient may be called like a column about patients, such as OS.
        matrix = read_matrix(path, words=lambda heading: heading not in patients and describes(heading))
        values, orientation, reading = _oriented(matrix, source, patients=patients, tcga=tcga)
        words = matrix.words
        place = _place_in_lines(matrix.numbers) if orientation == "genes_by_samples" else "column {}".format
    genes = keep_genes(
        values,
        words=words,
        words_of_genes=orientation == "genes_by_samples",
        patients=patients,
        file=str(path),
        place=lambda at: place(at + 2),
    )
    values = genes.values
    values.index = [name if name in patients else dashed(str(name)) for name in values.index]
    check_unique(values.index, file=str(path), what="sample")
    _check_values(values, source, file=str(path))
    said = replace(
        reading, table="expression", orientation=orientation, first_id=values.index[0], last_id=values.index[-1]
    )
    logger.info("%s", said.sentence())
    return Matrix(values, orientation, str(path), said, genes.left_out, genes.names_from)


def _place_in_lines(numbers: list[int] | None) -> Callable[[int], str]:
    """Names the place of the gene that would stand in that row, were there a header and nothing else before it."""
    return lambda row: f"row {row if numbers is None else numbers[row - 2]}"


def _oriented(
    matrix: NamedMatrix, source: ExpressionInput, *, patients: set[str], tcga: bool
) -> tuple[pd.DataFrame, str, Reading]:
    """Samples × genes, how the file had them, and what was read."""

    def is_patient(name: str) -> bool:
        if name in patients:
            return True
        name = dashed(name)
        return (tcga_patient(name) if tcga and is_tcga(name) else name) in patients

    def as_r_mangles(names: list[str]) -> int:
        """Names that are patients without the X and with the dashes that R has changed."""
        return sum(
            name.startswith("X") and any(is_patient(n) for n in (name[1:], name[1:].replace(".", "-")))
            for name in names
        )

    if matrix.corner is not None and is_patient(matrix.corner):
        raise InputError(
            f"{source.path}: the first heading '{matrix.corner}' is a patient and stands above the names of the rows, so "
            "headings and values may be shifted against each other; put a heading such as 'gene' in front"
        )
    in_columns = sum(map(is_patient, matrix.column_names))
    in_rows = sum(map(is_patient, matrix.row_names))
    for side, names, others in (
        ("columns", matrix.column_names, in_rows), ("rows", matrix.row_names, in_columns)
    ):  # fmt: skip
        if (mangled := as_r_mangles(names)) and mangled >= others:
            raise InputError(
                f"{source.path}: {mangled} of its {side} read as patients to whose names R has put an X (such as "
                f"{short(next(name for name in names if name.startswith('X')))}); write the names as in the patients table "
                "(in R: check.names = FALSE)"
            )
    if (
        matrix.corner is not None
        and not is_heading(matrix.corner)
        and all(NUMBER.fullmatch(n) for n in matrix.column_names)
    ):
        raise InputError(
            f"{source.path}: the header ({short(matrix.corner)}, {short(matrix.column_names[0])}, …) reads like a line of "
            "values, so names may be missing above them; put a header in front, its first heading 'gene' or 'patient'"
        )
    found = _samples_side(
        matrix, source, in_columns=in_columns, in_rows=in_rows, patients=patients, is_patient=is_patient
    )
    by_samples = found == "samples_by_genes"
    if by_samples and (column := _column_of_ids(matrix, is_patient)) is not None:
        raise InputError(
            f"{source.path}: both the names of its rows (such as {short(matrix.row_names[0])}) and its column {short(column)} "
            "read as ids of patients, and they differ; keep the one that holds the ids"
        )
    if matrix.corner is None:
        _check_headings_alone(matrix, by_samples=by_samples, is_patient=is_patient, file=source.path)
    _check_sample_names(matrix, by_samples=by_samples, file=source.path)
    values = pd.DataFrame(matrix.values, index=matrix.row_names, columns=matrix.column_names)
    return values if by_samples else values.T, found, matrix.reading


def _samples_side(
    matrix: NamedMatrix,
    source: ExpressionInput,
    *,
    in_columns: int,
    in_rows: int,
    patients: set[str],
    is_patient: Callable[[str], bool],
) -> str:
    """`genes_by_samples` or `samples_by_genes`: at which side the names of patients stand, and what the configuration says.

    Raises
    ------
    InputError
        if no side has patients, both have and the configuration does not tell, or it tells the other side.
    """
    if not in_columns and not in_rows:
        if (column := _column_of_ids(matrix, is_patient)) is not None:
            raise InputError(
                f"{source.path}: the names of its rows (such as {short(matrix.row_names[0])}) are no patients, but its column "
                f"{short(column)} holds some; make that column the first"
            )
        raise InputError(
            f"{source.path}: none of its rows (such as {short(matrix.row_names[0])}) or columns (such as "
            f"{short(matrix.column_names[0])}) is a patient of the patients table (such as '{min(patients)}'); "
            "make the names agree"
        )
    if in_columns and in_rows and source.orientation == "auto":
        raise InputError(
            f"{source.path}: both its rows ({in_rows}) and its columns ({in_columns}) have names of patients; say which "
            "are the samples with orientation: genes_by_samples or samples_by_genes"
        )
    found = "genes_by_samples" if in_columns else "samples_by_genes"
    if in_columns and in_rows:
        found = source.orientation
    if source.orientation not in ("auto", found):
        raise InputError(
            f"{source.path}: the matrix is the wrong way round: orientation says {source.orientation}, but the patients "
            f"are in its {'columns' if found == 'genes_by_samples' else 'rows'}; set orientation: {found} or auto"
        )
    return found


def _column_of_ids(matrix: NamedMatrix, is_patient: Callable[[str], bool]) -> str | None:
    """A column, other than the names of the rows, each of whose values is a patient of its own and not the row's name."""
    if len(matrix.row_names) < 2:
        return None
    texts = dict(matrix.words)
    for at, first in enumerate(matrix.values[0].tolist()):
        if first.is_integer() and is_patient(f"{first:.0f}"):  # few columns come that far
            texts[matrix.column_names[at]] = [f"{value:.0f}" for value in matrix.values[:, at] if value.is_integer()]
    for heading, values in texts.items():
        whole = len(set(values)) == len(matrix.row_names)
        if whole and all(map(is_patient, values)) and values != matrix.row_names:
            return heading
    return None


def _check_headings_alone(
    matrix: NamedMatrix, *, by_samples: bool, is_patient: Callable[[str], bool], file: str
) -> None:
    """R's form, a header without a heading for the names: a delimiter too many in every line looks alike."""
    first, *others = map(is_patient, matrix.column_names)
    if not matrix.certain and (by_samples or not first):
        raise InputError(
            f"{file}: each line has a field more than the header; if it is the name of the line, put a heading such as "
            "'gene' or 'patient' in front of the header"
        )
    if not by_samples and not first and others and all(others):
        raise InputError(
            f"{file}: each line has a field more than the header, and the first heading {short(matrix.column_names[0])} is no "
            "patient while all others are, so headings and values may be shifted; give every line as many fields as the header"
        )


def _check_sample_names(matrix: NamedMatrix, *, by_samples: bool, file: str) -> None:
    names = matrix.row_names if by_samples else matrix.column_names
    for at, name in enumerate(names):
        if is_missing(name):
            where = matrix.row_place(at) if by_samples else f"column {at + 1} of the values"
            raise InputError(f"{file}: {where} has no sample name ('{name}'); name it or remove it")


def _check_values(values: pd.DataFrame, source: ExpressionInput, *, file: str) -> None:
    array = values.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.isinf(array) | (array < 0 if source.unit != "log2" else False)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{file}: value {array[row, column]:g} of gene '{values.columns[column]}', sample '{values.index[row]}' "
            f"cannot be {source.unit}; values of this unit are finite and not negative (log values: unit: log2)"
        )
