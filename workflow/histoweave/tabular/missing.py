"""What counts as a missing value, in every table and every matrix that a user hands over."""

from __future__ import annotations

import re

from histoweave.errors import InputError

# Compared without blanks around and without regard to case.
MISSING = frozenset({"", "na", "<na>", "n/a", "nan", "null", "#n/a", "#nv", "-"})
LISTED = "blank, NA, <NA>, N/A, NaN, null, #N/A, #NV, -"
# What spreadsheets write in place of a value that they could not compute.
ERRORS = re.compile(r"#(REF!|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|BEZUG!|WERT!|ZAHL!|SPILL!|CALC!|#+)", re.IGNORECASE)
# As they are written, for parsers that compare exactly.
SPELLINGS = sorted({way(word) for word in MISSING for way in (str.lower, str.upper, str.title)} | {"NaN"})


def is_missing(text: str) -> bool:
    """Whether a cell says that nothing is known."""
    text = text.strip()
    return len(text) < 5 and text.casefold() in MISSING


def check_name(name: str, *, where: str, what: str) -> None:
    """Refuse a class or site that a key names and that would read as a missing value.

    Raises
    ------
    InputError
        naming `where` (file or key) and `what` (such as `class`).
    """
    if is_missing(name):
        raise InputError(
            f"{where}: {what} '{name}' reads as a missing value in every table ({LISTED}); "
            f"rename it in the table, such as 'not_applicable', to make it a {what} of its own"
        )
