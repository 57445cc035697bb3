"""Matrices stored as parquet or h5ad: which column holds the names, and names as they were written."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from histoweave.errors import InputError
from histoweave.tabular.fields import clean
from histoweave.tabular.h5ad_trial import objection_of_trial
from histoweave.tabular.missing import is_missing
from histoweave.tabular.named_matrix import MAX_VALUES, NamedMatrix
from histoweave.tabular.numbers import NUMBER, looks_numeric, parse_numbers
from histoweave.tabular.reading import Reading
from histoweave.tabular.table import rising
from histoweave.tabular.text import check_file, read_bytes

MAX_STORED_BYTES = 8 << 30


def read_parquet(path: Path, *, may_be_words: Callable[[str], bool]) -> NamedMatrix:
    """Read a parquet matrix. The names of its rows are the index that pandas stored, else the first column.

    Row numbers are no names: an index of whole numbers without a name beside a first column of text is left out, and
    where the first column holds numbers too, the file is refused.

    Raises
    ------
    InputError
        as `matrix.read_matrix`.
    """
    content = pa.BufferReader(read_bytes(path, max_bytes=MAX_STORED_BYTES))
    try:
        file = pq.ParquetFile(content)
        _check_size(file.metadata.num_rows, file.metadata.num_columns, path)
        table = file.read()
        table.validate(full=True)  # texts that are no UTF-8, dictionaries that point nowhere
        table, index_columns = _with_index(table, file.schema_arrow)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise InputError(f"{path}: cannot be read as parquet, damaged or cut short ({_first_line(error)})") from None
    if not table.num_rows or not table.num_columns:
        raise InputError(f"{path}: the table holds no values; give a matrix of genes and samples")
    names_at, notes = _names_column(table, index_columns, path)
    corner = None if table.column_names[names_at].startswith("__index_level_") else table.column_names[names_at]
    left_out = {names_at} | {table.column_names.index(name) for name in index_columns if name in table.column_names}
    kept = [at for at in range(table.num_columns) if at not in left_out]
    if not kept:
        raise InputError(f"{path}: no values beside the names; give a matrix of genes and samples")
    headings = table.column_names  # made anew each time it is asked for
    named = [(clean(headings[at]), table.column(at)) for at in kept]
    of_words = [may_be_words(name) or _holds_words(column) for name, column in named]
    words = {
        name: ["" if value is None else str(value) for value in column.to_pylist()]
        for (name, column), is_words in zip(named, of_words, strict=True)
        if is_words
    }
    numbers = [pair for pair, is_words in zip(named, of_words, strict=True) if not is_words]
    columns = [name for name, _ in numbers]
    if not columns:
        raise InputError(f"{path}: holds no numbers, only words; give a matrix of genes and samples")
    values = np.empty((table.num_rows, len(columns)))  # filled in place: a list of columns would be a copy more
    for at, (name, column) in enumerate(numbers):
        values[:, at] = _numbers(column, name, path)
    reading = Reading(str(path), "parquet", table.num_rows, len(columns), notes="; ".join(notes))
    names = _as_names(table.column(names_at), table.column_names[names_at], path)
    return NamedMatrix(values, names, columns, corner, reading, words=words)


def read_h5ad(path: Path) -> NamedMatrix:
    """Read the matrix X of an AnnData file (observations × variables), dense or sparse.

    Names that nobody gave (0, 1, 2, …) are no ids: they come from the one column of that side that is called patient,
    sample, case, barcode, gene or symbol, else the file is refused.

    Raises
    ------
    InputError
        as `matrix.read_matrix`.
    """
    import anndata

    check_file(path, max_bytes=MAX_STORED_BYTES)
    if against := objection_of_trial(path):
        raise InputError(f"{path}: cannot be read as .h5ad, damaged or cut short ({against})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            backed = anndata.read_h5ad(path, backed="r")
            try:
                n_rows, n_columns = backed.shape
                _check_size(n_rows, n_columns, path)
            finally:
                backed.file.close()
            content = anndata.read_h5ad(path)
    except InputError:
        raise
    except Exception as error:  # AnnData and HDF5 raise anything for a damaged file
        raise InputError(f"{path}: cannot be read as .h5ad, damaged or cut short ({_first_line(error)})") from None
    if content.X is None or 0 in content.shape:
        raise InputError(f"{path}: has no values in X; store the matrix there")
    x = content.X.toarray() if hasattr(content.X, "toarray") else np.asarray(content.X)
    if x.ndim != 2 or x.dtype.kind not in "fiu":
        raise InputError(f"{path}: X holds {x.dtype} and not one number per sample and gene; store numbers")
    notes: list[str] = []
    rows = _h5ad_names(content.obs_names, content.obs, "obs", path, notes)
    columns = _h5ad_names(content.var_names, content.var, "var", path, notes)
    n_rows, n_columns = x.shape
    reading = Reading(str(path), "h5ad", n_rows, n_columns, notes="; ".join(notes))
    return NamedMatrix(x.astype(np.float64), rows, columns, None, reading)


_NAMING = frozenset(
    {
        "patient", "patient_id", "sample", "sample_id", "case", "case_id", "barcode", "gene", "gene_id", "gene_ids",
        "gene_name", "gene_symbol", "gene_symbols", "symbol",
    }
)  # fmt: skip


def _h5ad_names(names: pd.Index, table: pd.DataFrame, side: str, path: Path, notes: list[str]) -> list[str]:
    found = [clean(str(name)) for name in names]
    columns = [column for column in table.columns if str(column).casefold() in _NAMING]
    if found != [str(number) for number in range(len(found))]:
        others = [column for column in columns if [clean(str(value)) for value in table[column]] != found]
        if rising(found) and others:
            raise InputError(
                f"{path}: {side}_names are rising whole numbers (such as {found[0]}), and its column '{others[0]}' holds other "
                f"names; write the ids to {side}_names"
            )
        return found
    if len(columns) != 1:
        what = "observations" if side == "obs" else "variables"
        given = f"columns {', '.join(map(str, columns))} could both name them" if columns else "no column names them"
        raise InputError(
            f"{path}: its {what} are only numbered (0, 1, 2, …), and {given}; write the ids to {side}_names"
        )
    notes.append(f"names of {side} taken from its column '{columns[0]}', because {side}_names are only row numbers")
    return _as_names(pa.chunked_array([pa.array(table[columns[0]])]), str(columns[0]), path)


def _check_size(n_rows: int, n_columns: int, path: Path) -> None:
    if n_rows * n_columns > MAX_VALUES:
        raise InputError(f"{path}: holds more than {MAX_VALUES:,} values, too many for one matrix; check the file")


def _with_index(table: pa.Table, schema: pa.Schema) -> tuple[pa.Table, list[str]]:
    """The table with all of its index as columns, and the names of these.

    pandas stores a range in words only: with a name it holds ids, without one it is row numbers.
    """
    names = []
    for stored in (schema.pandas_metadata or {}).get("index_columns") or []:
        if isinstance(stored, str):
            names.append(stored)
        elif stored.get("name") is not None:
            numbers = range(int(stored["start"]), int(stored["stop"]), int(stored["step"]))
            if len(numbers) != table.num_rows:
                raise ValueError(f"its index '{stored['name']}' has {len(numbers)} rows")
            table = table.add_column(0, str(stored["name"]), pa.array(numbers, pa.int64()))
            names.append(str(stored["name"]))
    return table, names


def _names_column(table: pa.Table, index_columns: Sequence[str], path: Path) -> tuple[int, list[str]]:
    """The position of the column that names the rows, and notes."""
    names = table.column_names
    for name in index_columns:
        if names.count(name) != 1:
            raise InputError(f"{path}: its stored index '{name}' is not one column; save the file again")
    if len(index_columns) > 1:
        raise InputError(f"{path}: has an index of several columns ({', '.join(index_columns)}); keep one as names")
    if not index_columns:
        return 0, []
    index_at = names.index(index_columns[0])
    first = next((at for at in range(len(names)) if at != index_at), None)
    unnamed_numbers = names[index_at].startswith("__index_level_") and pa.types.is_integer(table.schema.types[index_at])
    if first is None:
        return index_at, []
    if not unnamed_numbers:
        if _is_text(table.schema.types[first]):
            raise InputError(
                f"{path}: both its index '{names[index_at]}' and its first column '{names[first]}' hold names; "
                "keep one of them"
            )
        return index_at, []
    if _is_text(table.schema.types[first]):
        return first, ["row numbers stored as index left out"]
    raise InputError(
        f"{path}: its index is unnamed whole numbers, and the first column '{names[first]}' is numbers too, so which of "
        "them are the names cannot be told; store the ids as text, or give the index a name"
    )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _holds_words(column: pa.ChunkedArray) -> bool:
    """Whether a column holds no numbers: by its type, or by its first text."""
    kind = column.type
    if not _is_text(kind):
        known = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
        return not any(is_kind(kind) for is_kind in known)
    first = next((text for text in column.to_pylist() if text is not None and not is_missing(text)), "0").strip()
    return not NUMBER.fullmatch(first) and not looks_numeric(first)


def _as_names(column: pa.ChunkedArray, heading: str, path: Path) -> list[str]:
    """Names as text; whole numbers as they are written, anything else that is no text is refused."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind):
        return ["" if value is None else str(value) for value in column.to_pylist()]
    if not _is_text(kind):
        raise InputError(
            f"{path}: the names of its rows (column '{heading}') are stored as {kind}, so how they were written cannot be "
            "told; store them as text"
        )
    return ["" if value is None else clean(value) for value in column.to_pylist()]


def _numbers(column: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
    """(R,) float64; text is read by the rule of text matrices."""
    kind = column.type
    if _is_text(kind):
        texts = ["" if value is None else value for value in column.to_pylist()]
        return parse_numbers(texts, where=str(path), columns=[name] * len(texts))
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    return column.to_pandas().to_numpy(dtype=np.float64, na_value=np.nan)


def _first_line(error: BaseException) -> str:
    text = (str(error) or type(error).__name__).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:160]
