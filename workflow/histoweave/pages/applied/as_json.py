"""The page of an external cohort for programs: what it says, as JSON. No patient is in it."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from histoweave.apply.statuses import ABSTAINED, INSISTED
from histoweave.pages.applied import wording as applied_wording
from histoweave.pages.applied.calls import calls, reasons, standing
from histoweave.pages.applied.inputs import AppliedInputs, AppliedTables, read_applied
from histoweave.pages.applied.page import key_numbers
from histoweave.pages.applied.scores import class_coverage_words, warnings
from histoweave.pages.kit.json_values import rows
from histoweave.pages.kit.versions import package_versions
from histoweave.storage.files import write_json

# Raised when a key goes or changes its meaning; a key that is added leaves it.
SCHEMA_VERSION = 1


def write_applied_json(inputs: AppliedInputs, out: str | os.PathLike) -> None:
    """Write `report.json` of an application (keys: docs/artefacts.md). Equal tables give equal bytes."""
    write_json(out, applied_content(inputs, read_applied(inputs)))


def applied_content(inputs: AppliedInputs, tables: AppliedTables) -> dict[str, Any]:
    """What `report.json` holds, as plain values; undefined numbers are None."""
    return {
        "schema": "histoweave.applied",
        "schema_version": SCHEMA_VERSION,
        "cohort": inputs.cohort,
        "trained_on": inputs.trained_on,
        "pseudonyms": inputs.pseudonyms is not None,
        "classes": list(tables.classes),
        "models": [
            {"name": model.name, "title": model.title, "modalities": sorted(model.modalities)}
            for model in tables.models
        ],
        "main_model": tables.main,
        "level": inputs.level,
        "patients": dataclasses.asdict(standing(tables)),
        "withheld": rows(reasons(tables, ABSTAINED)),
        "insisted": rows(reasons(tables, INSISTED)),
        "warnings": warnings(tables, inputs.level),
        "key_numbers": [dataclasses.asdict(card) for card in key_numbers(tables, inputs.level)],
        "findings": applied_wording.summary(tables, trained_on=inputs.trained_on, level=inputs.level),
        "calls": rows(calls(tables)),
        "class_coverage": class_coverage_words(tables, inputs.level),
        "metrics": rows(tables.metrics),
        "coverage": rows(tables.coverage),
        "drift": rows(tables.drift),
        "compatibility": tables.compatibility,
        "config": dict(inputs.config),
        "versions": package_versions(),
        "code": dict(inputs.code),
        "inputs_sha256": dict(inputs.input_sha256),
    }
