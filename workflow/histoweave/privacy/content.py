"""Pseudonyms in tables and in anything that is made of them: one function for every shared artefact."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.privacy.values import OURS

# Columns (and fields, and keys) that hold an id and nothing else, and the kind of it. An image is a slide or a cell.
ID_COLUMNS = {"patient": "patient", "slide": "slide", "cell": "cell", "sample": "sample", "image": "cell"}
ID_LISTS = frozenset({"ids", "first_id", "last_id"})
# Columns that say why something cannot be used, or what was not read, often in the words of a library, which names files.
REASONS = frozenset({"reason", "notes"})
# Columns that name a column of the patients, and the columns beside them that hold a value of it.
VALUE_COLUMNS = {"column": "group", "target": "value"}
# Columns of closed vocabularies, of words that are no ids even where an id reads the same: class 1 is not patient 1.
VOCABULARY = frozenset(
    {
        "model", "model_a", "model_b", "models", "metric", "modality", "modalities", "representation", "level",
        "representation_a", "representation_b", "class", "classes", "label", "patient_label", "top_label", "labels",
        "y_true", "y_pred", "called", "set", "set_class", "kind", "alignment", "method", "role", "status", "stage",
        "step", "unit", "site", "gene", "source_name", "genes", "gene_set", "measure", "mpp_source", "state", "test",
        "question", "order", "direction", "positive", "family", "within",
    }
)  # fmt: skip


def pseudonymised(content: Any, names: Pseudonyms, *, column: str = "") -> Any:
    """`content` with every id and every hidden value replaced: tables, series, text, and mappings, sequences and
    dataclasses of such.

    Numbers, paths and everything else are returned as they are; so are the keys of mappings. Rows that a table has in
    order of ids or of hidden values come in order of what replaces them: the order of a known list would tell them.

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
        items = [pseudonymised(value, names, column=column) for value in content]
        # A named tuple takes its fields one by one.
        return type(content)(*items) if hasattr(content, "_fields") else type(content)(items)
    return content


def _text(text: str, names: Pseudonyms, column: str) -> str:
    if isinstance(text, Markup):
        return Markup(names.text(str(text)))
    if column in names.values.columns:
        return names.values.word(text, column)
    if column == "scope":
        return names.values.scope(text)
    if column in ID_COLUMNS:
        kind = names.kind(text, "slide", "cell") if column == "image" else None
        return names.name(text, kind or ID_COLUMNS[column])
    if column == "cluster":  # a site under folds of whole sites, else a patient
        return names.name(text, "patient") if names.kind(text, "patient") else _text(text, names, "site")
    if column in ID_LISTS:
        return "; ".join(sorted(names.name(part, names.kind(part) or "sample") for part in text.split("; ")))
    if column in REASONS:
        return names.reason(text)
    return text if column in VOCABULARY else names.text(text)


def _column(values: pd.Series, names: Pseudonyms, column: str) -> pd.Series:
    """A column of texts or of lists, each text looked at once; columns of numbers are returned as they are."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    hidden = column in names.values.columns
    if (column in VOCABULARY and not hidden) or not (
        values.dtype == object or isinstance(values.dtype, pd.StringDtype)
    ):
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
    index = pd.Index([_text(str(value), names, column) for value in table.index], name=column)
    return table if index.equals(table.index) else table.set_axis(index, axis=0).sort_index(kind="stable")


def _table(table: pd.DataFrame, names: Pseudonyms) -> pd.DataFrame:
    columns = {column: _column(table[column], names, str(column)) for column in table.columns}
    changed = pd.DataFrame(columns, index=table.index, columns=table.columns)
    for naming, holding in VALUE_COLUMNS.items():
        if {naming, holding} <= set(table.columns):
            hidden = table[naming].isin(names.values.columns)
            pairs = table.loc[hidden, [naming, holding]].astype(str).itertuples(index=False)
            words = [names.values.word(value, column) for column, value in pairs]
            changed[holding] = changed[holding].astype(object).mask(hidden, pd.Series(words, table.index[hidden]))
    return _index(_reordered(changed, table, names), names)


def _reordered(changed: pd.DataFrame, table: pd.DataFrame, names: Pseudonyms) -> pd.DataFrame:
    """The rows in order of the new words, where the old ones may have stood in order of what they replace.

    Tables of patients or slides as a whole; of others each stretch of rows of one hidden column by itself.
    """
    first = next(iter(table.columns), None)
    if first in ID_COLUMNS and not changed[first].equals(table[first]):
        ids = changed[first].reset_index(drop=True)
        return _in_order(changed, ids.sort_values(kind="stable").index.to_numpy())
    if set(ID_COLUMNS) & set(table.columns):
        return changed
    for column, kinds in _hidden_parts(table, names):
        stretch = (kinds != kinds.shift()).cumsum().to_numpy()
        words = changed[column].astype(str).where(kinds != "", "")
        return _in_order(changed, np.lexsort((words.to_numpy(dtype=str), stretch)))
    return changed


def _in_order(table: pd.DataFrame, order: np.ndarray) -> pd.DataFrame:
    """Rows in another order; an index that only counts them counts them again."""
    return table.iloc[order].reset_index(drop=True) if isinstance(table.index, pd.RangeIndex) else table.iloc[order]


def _hidden_parts(table: pd.DataFrame, names: Pseudonyms) -> Iterator[tuple[str, pd.Series]]:
    """Columns that hold hidden values, and of each row the column of the patients that its value is of (empty: none)."""
    found: dict[str, pd.Series] = {}
    for column in table.columns:
        if column in names.values.columns:
            found[column] = pd.Series(np.where(table[column].isin(OURS), "", column), table.index)
        elif column == "scope":
            found[column] = table[column].map(lambda scope: str(scope).partition(":")[0])
    for naming, holding in VALUE_COLUMNS.items():
        if {naming, holding} <= set(table.columns):
            found[holding] = table[naming].astype(str)
    for column, kinds in found.items():
        known = kinds.where(kinds.isin(names.values.columns), "")
        if known.any():
            yield column, known


def _dataclass(content: Any, names: Pseudonyms) -> Any:
    fields = [field.name for field in dataclasses.fields(content)]
    return dataclasses.replace(
        content, **{name: pseudonymised(getattr(content, name), names, column=name) for name in fields}
    )
