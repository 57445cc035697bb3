"""Pseudonyms in tables and in anything that is made of them: one function for every shared artefact."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from histoweave.privacy.pseudonyms import Pseudonyms

# Columns (and fields, and keys) that hold an id and nothing else, and the kind of it. An image is a slide or a cell.
ID_COLUMNS = {"patient": "patient", "slide": "slide", "cell": "cell", "sample": "sample", "image": "cell"}
ID_LISTS = frozenset({"ids"})
# Columns of closed vocabularies, of words that are no ids even where an id reads the same: class 1 is not patient 1.
VOCABULARY = frozenset(
    {
        "model", "model_a", "model_b", "models", "metric", "scope", "modality", "modalities", "representation", "level",
        "representation_a", "representation_b", "class", "classes", "label", "patient_label", "top_label", "labels",
        "y_true", "y_pred", "called", "set", "role", "status", "stage", "step", "unit", "site", "gene", "source_name",
        "genes", "gene_set", "mpp_source", "state", "test", "order", "direction", "positive",
    }
)  # fmt: skip


def pseudonymised(content: Any, names: Pseudonyms, *, column: str = "") -> Any:
    """`content` with every id replaced: tables, series, text, and mappings, sequences and dataclasses of such.

    Numbers, paths and everything else are returned as they are; so are the keys of mappings.

    Parameters
    ----------
    column : the column, key or field that holds `content`: it decides how a text is read.
    """
    if isinstance(content, str):
        return _text(content, names, column)
    if isinstance(content, pd.DataFrame):
        return _table(content, names)
    if isinstance(content, pd.Series):
        return _index(_column(content, names, str(content.name or column)), names)
    if isinstance(content, Mapping):
        return {key: pseudonymised(value, names, column=str(key)) for key, value in content.items()}
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        return _dataclass(content, names)
    if isinstance(content, np.ndarray):
        if content.dtype != object:
            return content
        changed = np.empty(len(content), dtype=object)
        for place, value in enumerate(content):  # one by one: NumPy would make a matrix of lists of equal length
            changed[place] = pseudonymised(value, names, column=column)
        return changed
    if isinstance(content, list | tuple | set | frozenset):
        changed = [pseudonymised(value, names, column=column) for value in content]
        # A named tuple takes its fields one by one.
        return type(content)(*changed) if hasattr(content, "_fields") else type(content)(changed)
    return content


def _text(text: str, names: Pseudonyms, column: str) -> str:
    if isinstance(text, Markup):
        return Markup(names.text(str(text)))
    if column in ID_COLUMNS:
        kind = names.kind(text, "slide", "cell") if column == "image" else None
        return names.name(text, kind or ID_COLUMNS[column])
    if column in ID_LISTS:
        return "; ".join(names.name(part, names.kind(part) or "sample") for part in text.split("; "))
    return text if column in VOCABULARY else names.text(text)


def _column(values: pd.Series, names: Pseudonyms, column: str) -> pd.Series:
    """A column of texts or of lists, each text looked at once; columns of numbers are returned as they are."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if column in VOCABULARY or not (values.dtype == object or isinstance(values.dtype, pd.StringDtype)):
        return values
    seen: dict[str, str] = {}

    def changed(value: Any) -> Any:
        if not isinstance(value, str):
            return pseudonymised(value, names, column=column)
        if value not in seen:
            seen[value] = _text(value, names, column)
        return seen[value]

    return pd.Series([changed(value) for value in values], index=values.index, name=values.name, dtype=values.dtype)


def _index(table: Any, names: Pseudonyms) -> Any:
    column = table.index.name
    if column not in ID_COLUMNS:
        return table
    return table.set_axis(pd.Index([_text(str(value), names, column) for value in table.index], name=column), axis=0)


def _table(table: pd.DataFrame, names: Pseudonyms) -> pd.DataFrame:
    columns = {column: _column(table[column], names, str(column)) for column in table.columns}
    return _index(pd.DataFrame(columns, index=table.index, columns=table.columns), names)


def _dataclass(content: Any, names: Pseudonyms) -> Any:
    fields = [field.name for field in dataclasses.fields(content)]
    return dataclasses.replace(
        content, **{name: pseudonymised(getattr(content, name), names, column=name) for name in fields}
    )
