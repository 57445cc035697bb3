"""Parquet tables that come from elsewhere: sizes first, then columns, types and values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from histoweave.errors import InputError
from histoweave.storage.given_files import objection_to

# text: never missing. number: finite. measure: may be missing (NaN). whole: int64. flag: true or false. numbers: a list.
Kind = Literal["text", "number", "measure", "whole", "flag", "numbers"]
MAX_VALUES, MAX_BYTES, MAX_TEXT_BYTES = 50_000_000, 1 << 30, 1 << 28
_MAX_METADATA_BYTES = 64 << 20
_WORDS: dict[Kind, str] = {
    "text": "a text", "number": "a finite number", "measure": "a finite number or missing", "whole": "a whole number",
    "flag": "true or false", "numbers": "a list of numbers",
}  # fmt: skip
_FITS = {
    "text": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
    "number": pa.types.is_floating,
    "measure": pa.types.is_floating,
    "whole": pa.types.is_integer,
    "flag": pa.types.is_boolean,
    "numbers": lambda t: (pa.types.is_list(t) or pa.types.is_large_list(t)) and pa.types.is_floating(t.value_type),
}


def read_given_table(path: str | os.PathLike, columns: Mapping[str, Kind], *, mend: str) -> pd.DataFrame:
    """A parquet table with `columns`; others of the file are left out.

    `mend` says what to do if the file is not that. The footer is looked at first: a small file can state any number of
    values, and one that states more than `MAX_VALUES` is not read.

    Raises
    ------
    InputError
        naming the file, and the column and row (the first is 0) that is wrong.
    """
    if against := objection_to(path):
        raise InputError(f"{path}: {against}")
    try:
        table = _read(path, columns)
        for name, kind in columns.items():
            if (row := _bad_row(table[name], kind)) is not None:
                value = table[name][row].as_py()
                raise _Wrong(f"column '{name}', row {row}: {value!r:.40} is not {_WORDS[kind]}")
        return table.to_pandas()
    except _Wrong as error:
        raise InputError(f"{path}: {error}; {mend}") from None
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(f"{path}: cannot be read as parquet ({' '.join(str(error).split())[:200]}); {mend}") from None


def has_column(path: str | os.PathLike, name: str) -> bool:
    """Whether a parquet file that `read_given_table` has read holds one more column."""
    with pq.ParquetFile(path, thrift_string_size_limit=_MAX_METADATA_BYTES) as file:
        return name in file.schema_arrow.names


class _Wrong(Exception):
    """What is wrong with a table, in a few words."""


def _read(path: str | os.PathLike, columns: Mapping[str, Kind]) -> pa.Table:
    with open(path, "rb") as raw:
        raw.seek(max(0, os.path.getsize(path) - 8))
        if int.from_bytes(raw.read(8)[:4], "little") > _MAX_METADATA_BYTES:
            raise _Wrong("its footer is larger than any table needs")
    with pq.ParquetFile(path, thrift_string_size_limit=_MAX_METADATA_BYTES) as file:
        _check_columns(file, columns)
        _check_sizes(file.metadata, n_columns=len(columns))
    _check_texts(path, [name for name, kind in columns.items() if kind == "text"])
    return pq.read_table(path, columns=list(columns), use_threads=False)


def _check_columns(file: pq.ParquetFile, columns: Mapping[str, Kind]) -> None:
    schema = file.schema_arrow
    for name, kind in columns.items():
        found = schema.get_all_field_indices(name)
        if len(found) != 1:
            raise _Wrong(f"column '{name}' is {'missing' if not found else 'there twice'}")
        type_ = schema.field(found[0]).type
        if not (_FITS[kind](type_) or (pa.types.is_null(type_) and not file.metadata.num_rows)):
            raise _Wrong(f"column '{name}' holds {type_}, not {_WORDS[kind]}")


def _check_sizes(metadata: pq.FileMetaData, *, n_columns: int) -> None:
    n_values, n_bytes = max(metadata.num_rows, 0) * n_columns, 0
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            n_values += max(chunk.num_values, 0)
            n_bytes += max(chunk.total_uncompressed_size, 0)
    if n_values > MAX_VALUES:
        raise _Wrong(f"it states {n_values} values, more than the {MAX_VALUES} that are read")
    if n_bytes > MAX_BYTES:
        raise _Wrong(f"it states {n_bytes} bytes, more than the {MAX_BYTES} that are read")


def _check_texts(path: str | os.PathLike, names: list[str]) -> None:
    """Refuse columns whose texts, each stored once and meant many times, would fill the memory when written out."""
    with pq.ParquetFile(path, read_dictionary=names) as file:
        coded = file.read(columns=names, use_threads=False)
    for name in names:
        n_bytes = 0
        for chunk in coded[name].chunks:
            if isinstance(chunk, pa.DictionaryArray):
                n_bytes += pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
        if n_bytes > MAX_TEXT_BYTES:
            raise _Wrong(f"column '{name}' holds {n_bytes} bytes of text, more than the {MAX_TEXT_BYTES} that are read")


def _bad_row(column: pa.ChunkedArray, kind: Kind) -> int | None:
    """The first row whose value is missing, or a number that is not finite where one is needed."""
    if kind == "measure":
        values = column.to_numpy()
        wrong = np.isinf(values.astype(np.float64))
    else:
        wrong = column.is_null().to_numpy()
        if kind == "number":
            wrong = wrong | ~np.isfinite(column.to_numpy())
    return int(wrong.argmax()) if wrong.any() else None
