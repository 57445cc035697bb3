"""The report for programs: what the page says, as JSON."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

import numpy as np
import pandas as pd

from histoweave.io import write_json
from histoweave.report import views
from histoweave.report.inputs import ReportInputs, ReportTables, read_tables
from histoweave.report.page import findings
from histoweave.report.versions import package_versions

# Raised when a key goes or changes its meaning; a key that is added leaves it.
SCHEMA_VERSION = 1
# Tables of results, each a list of its rows; a table that a run does not have is null.
RESULTS = ("metrics", "comparisons", "modality_use", "confusion", "reliability", "control_metrics", "truth")
# Of the explanations, what is said of classes; patients are in their tables.
EXPLAIN = ("genes", "gene_sets", "tests", "concepts", "concept_gene_sets")


def write_report_json(inputs: ReportInputs, out: str | os.PathLike) -> None:
    """Write `report.json` (keys: docs/artefacts.md). Equal tables give equal bytes: times of the run are not in it."""
    write_json(out, report_content(inputs, read_tables(inputs)))


def report_content(inputs: ReportInputs, tables: ReportTables) -> dict[str, Any]:
    """What `report.json` holds, as plain values; undefined numbers are None."""
    patients = tables.patients
    included = patients[patients["included"]]
    return {
        "schema": "histoweave.report",
        "schema_version": SCHEMA_VERSION,
        "cohort": inputs.cohort,
        "simulated": tables.truth is not None,
        "pseudonyms": inputs.pseudonyms is not None,
        "classes": list(tables.classes),
        "models": [
            {"name": model.name, "title": model.title, "modalities": sorted(model.modalities)}
            for model in tables.models
        ],
        "patients": {"given": len(patients), "included": len(included), "complete": int(included["complete"].sum())},
        "slides": None if tables.slides is None else _slides(tables.slides),
        "folds": tables.folds_how,
        "key_numbers": [dataclasses.asdict(card) for card in views.key_numbers(tables)],
        "findings": findings(tables),
        **{name: rows(getattr(tables, name)) for name in RESULTS},
        "explain": {name: rows(tables.explain[name]) for name in EXPLAIN if name in tables.explain},
        "decide": {name: rows(table) for name, table in tables.decide.items() if name != "sets"},
        "config": dict(inputs.config),
        "versions": package_versions(),
        "code": dict(inputs.code),
        "inputs_sha256": dict(inputs.input_sha256),
    }


def _slides(slides: pd.DataFrame) -> dict[str, Any]:
    refused = slides.loc[slides["status"] != "ok", "status"].value_counts().sort_index()
    return {
        "given": len(slides),
        "usable": len(slides) - int(refused.sum()),
        "refused": {str(status): int(count) for status, count in refused.items()},
    }


def rows(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    """The rows of a table as plain values, numbers that are not finite as None; None without a table."""
    if table is None:
        return None
    return [{str(column): _plain(value) for column, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
