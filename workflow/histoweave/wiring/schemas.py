"""JSON schemas of the config and of the user's tables, generated from the models that check them.

`python -m histoweave.wiring.schemas` writes `workflow/schemas/` anew; a test keeps the files in step.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from histoweave.cells.table import CellRow
from histoweave.cohort.tables import PatientRow, SlideRow
from histoweave.settings.config import Config

FOLDER = Path(__file__).parents[2] / "schemas"
MODELS: dict[str, type[BaseModel]] = {"config": Config, "patients": PatientRow, "slides": SlideRow, "cells": CellRow}


def schema_text(name: str) -> str:
    """The JSON schema of one of `MODELS`, as the committed file holds it."""
    return json.dumps(MODELS[name].model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    for name in MODELS:
        (FOLDER / f"{name}.schema.json").write_text(schema_text(name), encoding="utf-8")
