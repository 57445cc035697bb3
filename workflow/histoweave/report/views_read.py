"""What was read of the user's files, as a table of the page."""

from __future__ import annotations

import pandas as pd

from histoweave.report.inputs import ReportTables
from histoweave.report.views import Table, plain_table

COLUMNS = {
    "table": "Table", "file": "File", "form": "Form", "rows": "Rows", "columns": "Columns", "delimiter": "Delimiter",
    "encoding": "Encoding", "orientation": "Orientation", "first_id": "First id", "last_id": "Last id",
    "notes": "Skipped or left out",
}  # fmt: skip
ORIENTATIONS = {"": "", "genes_by_samples": "genes × samples", "samples_by_genes": "samples × genes"}


def read_table(tables: ReportTables) -> Table:
    """A row per file: patients, slides, RNA."""
    parts = [] if tables.read is None else [tables.read]
    if tables.expression is not None:
        parts.append(pd.DataFrame([tables.expression["read"]]))
    joined = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    return plain_table(joined.assign(orientation=joined["orientation"].map(ORIENTATIONS)), COLUMNS)
