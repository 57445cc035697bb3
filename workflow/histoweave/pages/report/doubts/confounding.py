"""What site, scanner and other columns may explain, as verdicts and a table for the page."""

from __future__ import annotations

import dataclasses
from typing import Any

from histoweave.evaluation.confounding_wording import Verdict, looked_at
from histoweave.evaluation.confounding_wording import verdicts as verdicts_of
from histoweave.pages.kit.tables import Cell, Table, estimate, number
from histoweave.pages.report.inputs import ReportTables

QUESTION_TITLES = {
    "label_from_column": "label predicted from the column alone",
    "column_from_image": "column predicted from mean tile features",
    "column_from_expression": "column predicted from RNA",
    "column_from_predictions": "column predicted from the predictions",
    "label_within_column": "label, among patients with the same value",
    "label_whole_columns": "label, with whole sites left out",
}
_IN_SUMMARY = ("explained", "associated", "told")


def verdicts(tables: ReportTables) -> list[Verdict]:
    """One verdict per column; none where the run has not asked, or nothing is known."""
    if tables.confounding is None or tables.confounding.empty:
        return []
    by_patient = tables.folds_how.get("group_by", "patient") == "patient"
    return verdicts_of(tables.confounding, tables.metrics, titles=tables.titles, by_patient=by_patient)


def summary(tables: ReportTables) -> list[str]:
    """What the top of the page says: verdicts that a reader must know of."""
    return [verdict.says for verdict in verdicts(tables) if verdict.status in _IN_SUMMARY]


def programs(tables: ReportTables) -> dict[str, Any]:
    """`confounding_verdicts` of `report.json`."""
    return {"confounding_verdicts": [dataclasses.asdict(verdict) for verdict in verdicts(tables)]}


def views(tables: ReportTables) -> dict[str, Any]:
    """What the section shows: `warnings` and `says` (sentences), `looked_at`, `answers` (a table)."""
    found = verdicts(tables)
    return {
        "warnings": [verdict.says for verdict in found if verdict.status == "explained"],
        "says": [verdict.says for verdict in found if verdict.status != "explained"],
        "looked_at": looked_at(tables.confounding) if found else "",
        "answers": _answers(tables) if found else Table((), ()),
    }


def _answers(tables: ReportTables) -> Table:
    rows: list[tuple[Cell, ...]] = []
    assert tables.confounding is not None
    for row in tables.confounding.to_dict("records"):
        rows.append((
            Cell(str(row["column"]).replace("_", " ")),
            Cell(QUESTION_TITLES[row["question"]]),
            Cell(tables.titles.get(row["model"], row["model"]) or "–"),
            estimate(row),
            number(row["n"]),
            number(row["levels"]),
            Cell(row["reason"] or "–"),
        ))  # fmt: skip
    return Table(
        ("Column", "What is predicted, and from what", "Model", "AUROC", "Patients", "Values", "Note"), tuple(rows)
    )
