"""Tables and numbers of a page, as text that sorts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.metrics import TITLES
from histoweave.evaluation.shown import interval_text, value_text

METRIC_TITLES = {
    **TITLES,
    "mean_abs_change": "Mean change of probability",
    "changed_calls": "Share of changed predictions",
    "attention_auroc": "AUROC of attention",
}


@dataclass(frozen=True)
class Cell:
    """One cell: text, a smaller second line, what to sort by (None: the text), whether it is a number, and a link."""

    text: str
    small: str = ""
    sort: float | None = None
    number: bool = False
    href: str = ""


@dataclass(frozen=True)
class Table:
    """Column titles and rows of cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class KeyNumber:
    """One of the numbers on top of the page."""

    label: str
    value: str
    interval: str
    note: str


def number(value: float | None, *, digits: int = 0, signed: bool = False) -> Cell:
    """A numeric cell; an undefined value is a dash and sorts last."""
    if value is None or not np.isfinite(value):
        return Cell("–", sort=-np.inf, number=True)
    return Cell(value_text(value, digits=digits, signed=signed), sort=float(value), number=True)


def estimate(
    row: Mapping[str, Any] | pd.Series | None,
    *,
    column: str = "estimate",
    digits: int = 3,
    signed: bool = False,
) -> Cell:
    """`row[column]` with the interval of `row` below it, which leaves 0 out (0.5 if not `signed`) as its digits do."""
    if row is None or not np.isfinite(row[column]):
        return number(None)
    value, chance = number(row[column], digits=digits, signed=signed), 0.0 if signed else 0.5
    interval = interval_text(row["ci_low"], row["ci_high"], signed=signed, against=chance, digits=digits)
    return Cell(value.text, interval, value.sort, True)


def _plain(value: Any) -> Cell:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return Cell("–")
    if isinstance(value, bool | np.bool_):
        return Cell("yes" if value else "no")
    if isinstance(value, int | np.integer):
        return number(int(value))
    return number(float(value), digits=3) if isinstance(value, float | np.floating) else Cell(str(value))


def plain_table(table: pd.DataFrame, columns: dict[str, str]) -> Table:
    """The named columns (column: title) of any table; columns that it lacks are left out."""
    present = {column: title for column, title in columns.items() if column in table}
    rows = table[list(present)].itertuples(index=False, name=None)
    return Table(tuple(present.values()), tuple(tuple(_plain(value) for value in row) for row in rows))


def settings_table(values: dict[str, Any], *, prefix: str = "") -> Table:
    """A nested mapping as two columns; a list becomes one line."""
    rows: list[tuple[Cell, ...]] = []
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict) and value:
            rows.extend(settings_table(value, prefix=f"{key}: ").rows)
        elif isinstance(value, list | tuple | dict):
            rows.append((Cell(name), Cell(", ".join(str(item) for item in value) or "none")))
        else:
            rows.append((Cell(name), Cell(_plain(value).text)))
    return Table(("What", "Value"), tuple(rows))


def pair_table(values: Mapping[str, str], columns: tuple[str, str]) -> Table:
    """A flat mapping as two columns, keys as they are."""
    return Table(columns, tuple((Cell(str(key)), Cell(str(value))) for key, value in values.items()))
