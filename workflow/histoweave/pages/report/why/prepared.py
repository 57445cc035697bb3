"""Which rows the figures of explanations draw."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.why.morphology import TITLES as MEASURES
from histoweave.pages.report.why.tables import modality_title

SHOWN_DRIVERS = 15


def curves(tables: ReportTables) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """What is removed or put back (`tiles`, `genes`), what is done with it, and mean `score` per `order`, `share`."""
    found = tables.explain.get("faithfulness")
    if found is None or found.empty:
        return
    means = found.groupby(["modality", "direction", "order", "share"], as_index=False)["score"].mean()
    for (modality, direction), rows in means.groupby(["modality", "direction"]):
        yield modality_title(modality), "removed" if direction == "deletion" else "put back", rows


def drivers(tables: ReportTables, name: str, column: str) -> Iterator[tuple[str, list[str], pd.DataFrame]]:
    """Class, names and rows (`estimate`, `ci_low`, `ci_high`) of what drives it most, the first `SHOWN_DRIVERS`.

    What could not be measured is left out.
    """
    found = tables.explain.get(name)
    if found is None or found.empty:
        return
    found = found[found["mean"].notna()]
    for label, of_class in found[found["rank"] <= SHOWN_DRIVERS].groupby("class", sort=False):
        rows = of_class.sort_values("rank").rename(columns={"mean": "estimate"})
        yield str(label), [MEASURES.get(str(each), str(each).replace("_", " ")) for each in rows[column]], rows
