"""The report for programs: what the page says, as JSON."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from histoweave.pages.kit.json_values import by_status, rows
from histoweave.pages.kit.versions import package_versions
from histoweave.pages.report import conclusion
from histoweave.pages.report.doubts import confounding as confounding_views
from histoweave.pages.report.inputs import ReportInputs, ReportTables, read_tables
from histoweave.pages.report.page import findings
from histoweave.pages.report.performance import operating as operating_views
from histoweave.storage.files import write_json

# Raised when a key goes or changes its meaning; a key that is added leaves it.
SCHEMA_VERSION = 2
# Tables of results, each a list of its rows; a table that a run does not have is null.
RESULTS = (
    "metrics",
    "comparisons",
    "modality_use",
    "confusion",
    "reliability",
    "operating",
    "operating_thresholds",
    "choice",
    "control_summary",
    "truth",
    "confounding",
)
# Of the explanations, what is said of classes; patients are in their tables.
EXPLAIN = ("genes", "gene_sets", "tests", "morphology", "concepts", "concept_gene_sets")


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
        "class_counts": rows(operating_views.class_counts(tables)),
        "slides": None if tables.slides is None else by_status(tables.slides),
        "folds": tables.folds_how,
        "conclusion": conclusion.for_programs(tables),
        "key_numbers": [dataclasses.asdict(card) for card in conclusion.cards(tables)],
        "findings": findings(tables),
        "confounding_verdicts": [dataclasses.asdict(verdict) for verdict in confounding_views.verdicts(tables)],
        **{name: rows(getattr(tables, name)) for name in RESULTS},
        "explain": {name: rows(tables.explain[name]) for name in EXPLAIN if name in tables.explain},
        "decide": {name: rows(table) for name, table in tables.decide.items() if name != "sets"},
        "config": dict(inputs.config),
        "versions": package_versions(),
        "code": dict(inputs.code),
        "inputs_sha256": dict(inputs.input_sha256),
    }
