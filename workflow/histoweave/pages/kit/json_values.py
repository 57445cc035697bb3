"""Tables as plain values for JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd


def rows(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    """The rows of a table as plain values, numbers that are not finite as None; None without a table."""
    return None if table is None else rows_of(table)


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """As `rows`, of a table that is there."""
    return [{str(column): plain(value) for column, value in row.items()} for row in table.to_dict("records")]


def plain(value: Any) -> Any:
    """A value of a table as JSON knows it; numbers that are not finite are None."""
    if isinstance(value, np.ndarray | list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def by_status(table: pd.DataFrame) -> dict[str, Any]:
    """Of a table with a column `status`: `given` and `usable` rows, and `refused` ones by their status."""
    refused = table.loc[table["status"] != "ok", "status"].value_counts().sort_index()
    return {
        "given": len(table),
        "usable": len(table) - int(refused.sum()),
        "refused": {str(status): int(count) for status, count in refused.items()},
    }
