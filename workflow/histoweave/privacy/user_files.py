"""Which files of the user have a patient's slide or cell in them, and whose: their names must not be shared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from histoweave.cells.cohort import read_cohorts
from histoweave.cohort.tables import read_patients, read_slides
from histoweave.privacy.content import VOCABULARY
from histoweave.privacy.files import UserFiles
from histoweave.settings.config import parse_config

# Columns of the tables of slides and of cells that name files.
_FILES = ("path", "coords", "features", "member")
# Columns that hold one value per row, which is nobody else's.
_OF_ONE = {*_FILES, "patient", "slide", "cell"}
# Columns whose values are words of a page even where one patient has them.
_NAMES = ("label", "label_source", "site")


def read_files(config: Mapping[str, Any], cohorts: Iterable[str]) -> UserFiles:
    """Every file that the tables of slides and cells of some cohorts name, and the words of their tables and of `config`.

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
    words = set(_keys([config, parsed.model_dump()])) | VOCABULARY
    for name, cohort in parsed.cohorts.items():
        if name not in of_others and cohort.slides:
            patients = read_patients(cohort)
            words |= _words(patients)
            known = set(patients["patient"])
            pairs += _pairs(read_slides(cohort, patients=known, check_paths=False).set_index("slide"))
    with_cells = {name: cohort for name, cohort in parsed.cohorts.items() if name in wanted and cohort.cells}
    for cells in read_cohorts(with_cells, check_paths=False).values():
        words |= _words(cells.rows) | (set() if cells.patients is None else _words(cells.patients))
        if not cells.simulated:
            pairs += _pairs(cells.rows)
    return UserFiles(pairs, frozenset(words))


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    """What a row is of, and a file that it names."""
    named = [table[column] for column in _FILES if column in table]
    return [pair for files in named for pair in zip(files.index, files, strict=True) if isinstance(pair[1], str)]


def _words(table: pd.DataFrame) -> set[str]:
    """Headings, classes and sites, and of other columns the values that two patients or more have.

    In a table of cells without patients every cell is its own: only headings, classes and sites are words there.
    """
    found = set(map(str, table.columns))
    has_patients = "patient" in table and not ("cell" in table and table["patient"].is_unique)
    for column in map(str, table.columns):
        values = table[column].dropna()
        if column in _OF_ONE or pd.api.types.is_numeric_dtype(values) or not (column in _NAMES or has_patients):
            continue
        if column not in _NAMES:
            values = values[table["patient"].groupby(table[column]).transform("nunique") > 1]
        found |= set(values.astype(str))
    return found - {""}


def _keys(content: Any) -> Iterator[str]:
    """The keys of a mapping and of all that it holds."""
    if isinstance(content, Mapping):
        yield from map(str, content)
        content = list(content.values())
    if isinstance(content, list | tuple):
        for part in content:
            yield from _keys(part)
