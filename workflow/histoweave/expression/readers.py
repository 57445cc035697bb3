"""Expression files of every accepted form, read into one shape: samples × genes, float64."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.config import ExpressionInput
from histoweave.errors import InputError
from histoweave.expression.gene_rows import keep_genes
from histoweave.expression.star import read_star_folder
from histoweave.ids import dashed, is_tcga, tcga_patient

_SEPARATORS = {".tsv": "\t", ".txt": "\t", ".csv": ","}
MATRIX_SUFFIXES = (*_SEPARATORS, ".parquet", ".h5ad")


@dataclass(frozen=True)
class Matrix:
    """Expression values as the file has them: `values` (samples × genes, float64, NaN = missing).

    `left_out` and `names_from` are those of `gene_rows.Genes`.
    """

    values: pd.DataFrame
    orientation: str
    file: str
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
        wrong way round, or one that holds none of the patients.
    """
    path = Path(source.path)
    if not path.exists():
        raise InputError(f"{path}: expression path does not exist; check cohorts.<name>.expression.path")
    if path.is_dir():
        matrix = Matrix(read_star_folder(path, source).T, "genes_by_samples", str(path))
    else:
        matrix = _orient(_read_matrix(path), source, patients=patients, tcga=tcga)
    side = "row" if matrix.orientation == "genes_by_samples" else "column"
    genes = keep_genes(matrix.values, patients=patients, file=matrix.file, place=lambda index: f"{side} {index + 2}")
    matrix = replace(matrix, values=genes.values, left_out=genes.left_out, names_from=genes.names_from)
    values = matrix.values
    values.index = [dashed(str(name)) for name in values.index]
    if values.index.has_duplicates:
        raise InputError(
            f"{path}: sample '{values.index[values.index.duplicated()][0]}' appears twice; keep one column per sample"
        )
    _check_values(values, source, file=str(path))
    return matrix


def _read_matrix(path: Path) -> pd.DataFrame:
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; give a matrix of genes and samples")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if kind == ".parquet":
        table = pd.read_parquet(path)
        if table.columns.size and not pd.api.types.is_numeric_dtype(table.iloc[:, 0]):
            table = table.set_index(table.columns[0])
    elif kind == ".h5ad":
        import anndata  # takes a second to import, and few cohorts come as h5ad

        table = anndata.read_h5ad(path).to_df()
    elif kind in _SEPARATORS:
        try:
            table = pd.read_csv(
                path, sep=_SEPARATORS[kind], index_col=0, comment="#", float_precision="round_trip", low_memory=False
            )
        except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
            raise InputError(
                f"{path}: cannot be read as a table ({error}); give tab- or comma-separated text"
            ) from None
    else:
        raise InputError(f"{path}: unknown form '{kind}'; use one of {', '.join(MATRIX_SUFFIXES)} or a folder")
    if table.empty:
        raise InputError(
            f"{path}: no values below or beside the header; check the separator (.tsv = tab, .csv = comma)"
        )
    table.index = table.index.map(str)
    table.columns = table.columns.map(str)
    return table


def _orient(table: pd.DataFrame, source: ExpressionInput, *, patients: set[str], tcga: bool) -> Matrix:
    def hits(names: pd.Index) -> int:
        return sum((tcga_patient(n) if tcga and is_tcga(n) else n) in patients for n in names)

    in_columns, in_rows = hits(table.columns), hits(table.index)
    if not in_columns and not in_rows:
        raise InputError(
            f"{source.path}: none of its rows (such as '{table.index[0]}') or columns (such as '{table.columns[0]}') "
            f"is a patient of the patients table (such as '{min(patients)}'); make the names agree"
        )
    found = "genes_by_samples" if in_columns >= in_rows else "samples_by_genes"
    if source.orientation not in ("auto", found):
        raise InputError(
            f"{source.path}: the matrix is the wrong way round: orientation says {source.orientation}, but the patients "
            f"are in its {'columns' if found == 'genes_by_samples' else 'rows'}; set orientation: {found} or auto"
        )
    return Matrix(table.T if found == "genes_by_samples" else table, found, source.path)


def _check_values(values: pd.DataFrame, source: ExpressionInput, *, file: str) -> None:
    for gene, dtype in zip(values.columns, values.dtypes, strict=True):
        if dtype.kind in "fiu":
            continue
        column = values[gene] if not isinstance(values[gene], pd.DataFrame) else values[gene].iloc[:, 0]
        wrong = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
        if len(wrong):
            raise InputError(
                f"{file}: value '{wrong.iloc[0]}' of gene '{gene}', sample '{wrong.index[0]}' is not a number; "
                "leave missing values empty or write NA"
            )
    array = values.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.isinf(array) | (array < 0 if source.unit != "log2" else False)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{file}: value {array[row, column]:g} of gene '{values.columns[column]}', sample '{values.index[row]}' "
            f"cannot be {source.unit}; values of this unit are finite and not negative (log values: unit: log2)"
        )
