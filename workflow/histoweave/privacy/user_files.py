"""Which files of the user have a patient's slide or cell in them, and whose: their names must not be shared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from histoweave.cells.cohort import read_cohorts
from histoweave.config import parse_config
from histoweave.tables import read_patients, read_slides

# Columns of the tables of slides and of cells that name files.
_FILES = ("path", "coords", "features", "member")


def read_files(config: Mapping[str, Any], cohorts: Iterable[str]) -> list[tuple[str, str]]:
    """(slide, cell or patient, file) of every file that the tables of slides and cells of some cohorts name.

    Files that the workflow draws itself are left out.

    Parameters
    ----------
    config : the whole configuration, as it was given.

    Raises
    ------
    InputError
        if a table cannot be read.
    """
    parsed, wanted = parse_config(dict(config)), set(cohorts)
    of_others = [name for name, cohort in parsed.cohorts.items() if name not in wanted or cohort.simulate is not None]
    pairs: list[tuple[str, str]] = []
    for name, cohort in parsed.cohorts.items():
        if name not in of_others and cohort.slides:
            patients = set(read_patients(cohort)["patient"])
            pairs += _pairs(read_slides(cohort, patients=patients, check_paths=False).set_index("slide"))
    with_cells = {name: cohort for name, cohort in parsed.cohorts.items() if name in wanted and cohort.cells}
    for cells in read_cohorts(parsed.model_copy(update={"cohorts": with_cells}), check_paths=False).values():
        if not cells.simulated:
            pairs += _pairs(cells.rows)
    return pairs


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    """What a row is of, and a file that it names."""
    named = [table[column] for column in _FILES if column in table]
    return [pair for files in named for pair in zip(files.index, files, strict=True) if isinstance(pair[1], str)]
