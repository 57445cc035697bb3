"""The beginning of a run: its configuration, and the library that its jobs import."""

from __future__ import annotations

import os
from pathlib import Path

from histoweave.errors import InputError
from histoweave.settings.config import Config, parse_config
from histoweave.wiring.validation import CohortTables, check_inputs


def load(raw: dict, *, check_paths: bool = True) -> tuple[Config, dict[str, CohortTables]]:
    """Check the configuration and the tables of slides and RNA (see `validation.check_inputs`)."""
    if not raw:
        raise InputError("no configuration: give one with --configfile (see config/README.md)")
    config = parse_config(raw)
    return config, check_inputs(config, check_paths=check_paths)


def lend_library_to_jobs() -> None:
    """Let jobs import the library from this checkout, in whichever environment they run."""
    library = str(Path(__file__).parents[2])
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != library]
    os.environ["PYTHONPATH"] = os.pathsep.join([library, *others])
