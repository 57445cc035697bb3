"""The report for programs: what the page says, as JSON."""

from __future__ import annotations

import os
from typing import Any

from histoweave.pages.kit.json_values import rows
from histoweave.pages.kit.versions import package_versions
from histoweave.pages.report.inputs import ReportInputs, ReportTables, read_tables
from histoweave.pages.report.page import findings
from histoweave.pages.report.sections import SECTIONS, codes
from histoweave.storage.files import write_json

# Raised when a key goes or changes its meaning; a key that is added leaves it.
SCHEMA_VERSION = 2
# Tables of results, each a list of its rows; a table that a run does not have is null.
RESULTS = tuple(name for section in SECTIONS.values() for name in section.rows)


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
        "findings": findings(tables),
        **{name: rows(tables.named(name)) for name in RESULTS},
        **{key: value for code in codes().values() for key, value in code.programs(tables).items()},
        "config": dict(inputs.config),
        "versions": package_versions(),
        "code": dict(inputs.code),
        "inputs_sha256": dict(inputs.input_sha256),
    }
