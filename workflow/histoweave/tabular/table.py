"""A table of text that a user wrote: patients, slides, cells, sample sheets, reviews."""

from __future__ import annotations

import itertools
import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.errors import InputError, nearest
from histoweave.tabular.fields import DELIMITERS, OWN, Grid, grid
from histoweave.tabular.missing import ERRORS, is_missing
from histoweave.tabular.reading import Reading, counted
from histoweave.tabular.text import read_text_file

logger = logging.getLogger(__name__)

MAX_TABLE_BYTES = 1 << 30


@dataclass(frozen=True)
class UserTable:
    """A table as text.

    Attributes
    ----------
    rows: one row per line, every cell stripped; a missing value is an empty string.
    numbers: (N,) the line of the file that each row stands on.
    """

    file: str
    rows: pd.DataFrame
    numbers: np.ndarray
    reading: Reading

    def where(self, at: int) -> str:
        """File and line of the row at position `at`, as errors name them."""
        return f"{self.file}, row {self.numbers[at]}"

    def said(self, what: str, ids: Sequence[str]) -> Reading:
        """What was read, as the table of `what`, with the first and last of the ids. It is logged too."""
        reading = replace(self.reading, table=what, first_id=str(ids[0]), last_id=str(ids[-1]))
        logger.info("%s", reading.sentence())
        return reading


def read_table(path: str, *, required: Iterable[str], hint: str = "") -> UserTable:
    """Read a table with a header, every value as text.

    Parameters
    ----------
    required: columns that have to be there. hint: what to do if the file or a column is missing.

    Raises
    ------
    InputError
        one line naming file and line: see `text.read_text_file` and `fields.grid`; a heading that is missing or given
        twice; a control character in a field; a required column that is not there.
    """
    ending = _ending(path)
    text = read_text_file(path, max_bytes=MAX_TABLE_BYTES)
    lines = grid(text.lines, file=str(path), ending=ending)
    columns, notes = _columns(lines)
    for column in required:
        if column not in columns:
            in_front = " (the first field of each line has no heading)" if lines.names_in_front else ""
            raise InputError(
                f"{path}: column '{column}' is missing{nearest(column, columns)}; the columns are "
                f"{_listed(columns)}{in_front}{'; ' + hint if hint else ''}"
            )
    rows = pd.DataFrame({name: _text_column(values) for name, values in columns.items()}, dtype=object)
    reading = Reading(
        file=str(path),
        form="text",
        rows=len(rows),
        columns=len(columns),
        delimiter=DELIMITERS[lines.delimiter],
        encoding=text.encoding,
        notes="; ".join(notes),
    )
    return UserTable(str(path), rows, np.asarray(lines.numbers), reading)


def plain_word(text: str) -> str:
    """A value that names a group, in one spelling: composed letters, single blanks, no invisible characters.

    Not for ids and paths, which are taken as written.
    """
    if text.isascii() and "  " not in text:
        return text
    text = unicodedata.normalize("NFC", text)
    return " ".join("".join(each for each in text if unicodedata.category(each) != "Cf").split())


def check_headings(columns: Iterable[str], known: Iterable[str], *, file: str) -> None:
    """Refuse a heading that is a known one but for case, blanks or `_id`: left as it is, it would do nothing.

    Raises
    ------
    InputError
        naming both.
    """
    columns = list(columns)
    missing = {_plain_heading(name): name for name in known if name not in columns}
    for name in columns:
        if (meant := missing.get(_plain_heading(name))) is not None:
            raise InputError(
                f"{file}: column '{name}' reads like '{meant}' and is not; rename it to '{meant}', or otherwise"
            )


def _plain_heading(name: str) -> str:
    return re.sub(r"[\W_]+|_?id$", "", name.casefold())


def _ending(path: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    ending = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if ending not in OWN:
        raise InputError(f"{path}: unknown table form '{ending}'; use .tsv or .csv")
    return ending


def _columns(lines: Grid) -> tuple[dict[str, list[str]], list[str]]:
    """Values by heading, and notes on what was dropped."""
    notes = skipped(lines)
    fields = list(zip(*_checked(lines), strict=True))
    if lines.names_in_front:
        _check_row_names(fields, lines)
    headings = ["", *lines.header] if lines.names_in_front else lines.header
    columns: dict[str, list[str]] = {}
    for at, (name, values) in enumerate(zip(headings, fields, strict=True)):
        if name:
            if name in columns:
                raise InputError(f"{lines.file}: column '{name}' occurs twice; keep one, or rename the other")
            columns[name] = list(values)
        elif at == 0:
            notes.append("the names in front of the lines are left out")  # R's row names
        elif all(map(is_missing, values)):
            notes.append(f"column {at + 1} without heading and values is left out")
        else:
            raise InputError(f"{lines.file}: column {at + 1} has values and no heading; name it or remove it")
    return columns, notes


def _check_row_names(fields: list[tuple[str, ...]], lines: Grid) -> None:
    """R's row names are rising whole numbers, or those of a column; a stray delimiter in every line looks like others."""
    names = fields[0]
    if not (lines.as_r_writes if rising(names) else names in fields[1:]):
        raise lines.misfit()


def rising(names: Iterable[str]) -> bool:
    """Whether names are whole numbers that rise from line to line, as numbers of lines do."""
    numbers = [int(name) if re.fullmatch(r"0|[1-9][0-9]{0,9}", name) else -1 for name in names]
    return all(one < other for one, other in itertools.pairwise([-1, *numbers]))


def skipped(lines: Grid) -> list[str]:
    """Notes on comments, blank lines and fields beyond the header."""
    notes = []
    if lines.n_comments:
        notes.append(f"{counted(lines.n_comments, 'comment line')} skipped")
    if lines.n_blank:
        notes.append(f"{counted(lines.n_blank, 'blank line')} skipped")
    if lines.n_surplus:
        notes.append(f"{counted(lines.n_surplus, 'empty field')} beyond the header dropped")
    return notes


def _checked(lines: Grid) -> Iterable[list[str]]:
    check_characters(lines.header, where=f"{lines.file}, header")
    for number, fields in lines.rows():
        where = f"{lines.file}, row {number}"
        check_characters(fields, where=where)
        for text in fields:
            if text.startswith("#") and ERRORS.fullmatch(text):
                raise InputError(f"{where}: '{text}' is an error of a spreadsheet; correct the cell or leave it empty")
        yield fields


def check_characters(fields: Iterable[str], *, where: str) -> None:
    """Refuse control characters: they come from damaged files, and break pages and figures that show them.

    Raises
    ------
    InputError
        naming `where` and the character.
    """
    for text in fields:
        if not text.isprintable():
            for character in text:
                if unicodedata.category(character) in ("Cc", "Cs"):
                    raise InputError(f"{where}: holds the control character U+{ord(character):04X}; remove it")


def _text_column(values: Sequence[str]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = ["" if is_missing(value) else value for value in values]
    return column


def _listed(columns: Iterable[str]) -> str:
    names = list(columns)
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
