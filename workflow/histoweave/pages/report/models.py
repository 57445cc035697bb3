"""Which models figures show, in which order and how; and the one that is shown where there is room for one."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from histoweave.pages.kit.style import GREY, INK, Mark, marks
from histoweave.pages.report.inputs import ReportTables


def by_model(tables: ReportTables, table: pd.DataFrame) -> Iterator[tuple[str, Mark, pd.DataFrame]]:
    """Title, look and rows of every model of `table`, in order of display; last the policies that need no model."""
    mark = marks(tables.models) | POLICIES
    titles = tables.titles | POLICY_TITLES
    for model in (*tables.titles, *POLICIES):
        rows = table[table["model"] == model]
        if len(rows):
            yield titles[model], mark[model], rows


def main_of(tables: ReportTables, table: pd.DataFrame) -> str:
    """The model that is shown where there is room for one: the main fusion model, else the last of the table."""
    main = main_fusion(tables)
    return main if main is not None and main in set(table["model"]) else table["model"].iloc[-1]


def main_fusion(tables: ReportTables) -> str | None:
    """The fusion model that the page compares with the others: the last that reads both modalities."""
    fused = [model.name for model in tables.models if len(model.modalities) > 1]
    return fused[-1] if fused else None


POLICIES = {"treat_all": Mark(GREY, "--", "o"), "treat_none": Mark(INK, ":", "o")}


POLICY_TITLES = {"treat_all": "treat all", "treat_none": "treat none"}
