"""What was read of the user's files, as a table of a page."""

from __future__ import annotations

import pandas as pd

from histoweave.pages.kit.tables import Table, plain_table
from histoweave.pages.report.inputs import ReportTables

COLUMNS = {
    "table": "Table", "file": "File", "rows": "Rows", "columns": "Columns", "how": "Read as", "first_id": "First id",
    "last_id": "Last id", "notes": "Skipped or ignored",
}  # fmt: skip
ORIENTATIONS = {"": "", "genes_by_samples": "genes × samples", "samples_by_genes": "samples × genes"}


def files_read(tables: ReportTables) -> Table:
    """A row per file: patients, slides, RNA."""
    parts = [] if tables.read is None else [tables.read]
    if tables.expression is not None:
        parts.append(pd.DataFrame([tables.expression["read"]]))
    return readings_table(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame())


def readings_table(readings: pd.DataFrame) -> Table:
    """`readings` (columns of `tabular.reading.Reading`) with the form in one column; notes only where there are some."""
    if readings.empty:
        return Table((), ())
    how = readings[["form", "delimiter", "encoding", "orientation"]].copy()
    how["delimiter"] = [f"{name}s" if name else "" for name in how["delimiter"]]
    how["orientation"] = how["orientation"].map(ORIENTATIONS)
    shown = readings.assign(how=[", ".join(filter(None, row)) for row in how.itertuples(index=False)])
    return plain_table(shown if shown["notes"].any() else shown.drop(columns="notes"), COLUMNS)
