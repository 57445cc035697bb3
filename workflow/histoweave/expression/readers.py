"""Expression files of every accepted form, read into one shape: samples × genes, float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.config import ExpressionInput
from histoweave.errors import InputError
from histoweave.ids import dashed, is_tcga, tcga_patient
from histoweave.tabular.matrix import NamedMatrix, check_unique, read_matrix, shown
from histoweave.tabular.missing import is_missing
from histoweave.tabular.reading import Reading

_STAR_COLUMNS = {"counts": "unstranded", "tpm": "tpm_unstranded", "fpkm": "fpkm_unstranded"}


@dataclass(frozen=True)
class Matrix:
    """Expression values as the file has them: `values` (samples × genes, float64, NaN = missing)."""

    values: pd.DataFrame
    orientation: str
    file: str
    reading: Reading


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
    if not path.exists():
        raise InputError(f"{path}: expression path does not exist; check cohorts.<name>.expression.path")
    if path.is_dir():
        values = _read_star_folder(path, source)
        orientation = "genes_by_samples"
        reading = Reading(str(path), "STAR-Counts files", len(values.columns), len(values))
    else:
        values, orientation, reading = _oriented(read_matrix(path), source, patients=patients, tcga=tcga)
    values.index = [dashed(str(name)) for name in values.index]
    check_unique(values.index, file=str(path), what="sample")
    _check_values(values, source, file=str(path))
    said = replace(reading, orientation=orientation, first_id=values.index[0], last_id=values.index[-1])
    return Matrix(values, orientation, str(path), said)


def _oriented(
    matrix: NamedMatrix, source: ExpressionInput, *, patients: set[str], tcga: bool
) -> tuple[pd.DataFrame, str, Reading]:
    """Samples × genes, how the file had them, and what was read."""

    def is_patient(name: str) -> bool:
        name = dashed(name)
        return (tcga_patient(name) if tcga and is_tcga(name) else name) in patients

    if matrix.corner is not None and is_patient(matrix.corner):
        raise InputError(
            f"{source.path}: the first heading '{matrix.corner}' is a patient and stands above the names of the rows, so "
            "headings and values may be shifted against each other; put a heading such as 'gene' in front"
        )
    in_columns = sum(map(is_patient, matrix.column_names))
    in_rows = sum(map(is_patient, matrix.row_names))
    if not in_columns and not in_rows:
        raise InputError(
            f"{source.path}: none of its rows (such as '{shown(matrix.row_names[0])}') or columns (such as "
            f"'{shown(matrix.column_names[0])}') is a patient of the patients table (such as '{min(patients)}'); "
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
    by_samples = found == "samples_by_genes"
    _check_sample_names(matrix, by_samples=by_samples, file=source.path)
    values = pd.DataFrame(matrix.values, index=matrix.row_names, columns=matrix.column_names)
    return values if by_samples else values.T, found, matrix.reading


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


def _read_star_folder(folder: Path, source: ExpressionInput) -> pd.DataFrame:
    """GDC STAR-Counts files (one per sample, names without barcodes) and the sample sheet that names them."""
    if source.unit not in _STAR_COLUMNS:
        raise InputError(f"{folder}: STAR-Counts files hold {', '.join(_STAR_COLUMNS)}, not '{source.unit}'; set unit")
    if source.sample_sheet is None:
        raise InputError(
            f"{folder}: a folder of STAR-Counts files needs expression.sample_sheet (the GDC sample sheet)"
        )
    sheet_path = Path(source.sample_sheet)
    if not sheet_path.is_file():
        raise InputError(f"{sheet_path}: sample sheet does not exist; download it with the files from the GDC portal")
    sheet = pd.read_csv(sheet_path, sep="\t", dtype=str)
    for column in ("File Name", "Sample ID"):
        if column not in sheet:
            raise InputError(f"{sheet_path}: column '{column}' is missing; use the GDC sample sheet as downloaded")
    present = {path.name: path for path in sorted(folder.rglob("*.tsv*")) if path != sheet_path}
    columns = {}
    for row, (name, sample) in enumerate(zip(sheet["File Name"], sheet["Sample ID"], strict=True), start=2):
        if name not in present:
            raise InputError(f"{sheet_path}, row {row}: file '{name}' is not in {folder}; download it or drop the row")
        if sample in columns:
            raise InputError(f"{sheet_path}, row {row}: Sample ID '{sample}' appears twice; keep one file per sample")
        columns[sample] = _read_star_file(present[name], _STAR_COLUMNS[source.unit])
    if not columns:
        raise InputError(f"{sheet_path}: lists no file; download the sample sheet of the files in {folder}")
    return pd.DataFrame(columns).T


def _read_star_file(path: Path, column: str) -> pd.Series:
    """One STAR-Counts file: a comment line, a header, four `N_` rows, then genes; symbols that repeat are summed."""
    try:
        table = pd.read_csv(path, sep="\t", comment="#", usecols=["gene_id", "gene_name", column])
    except ValueError as error:
        raise InputError(f"{path}: is not a STAR-Counts file ({error}); columns gene_id, gene_name, {column}") from None
    table = table[~table["gene_id"].str.startswith("N_")]
    return table.groupby("gene_name", sort=True)[column].sum()
