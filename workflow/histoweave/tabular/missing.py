"""What counts as a missing value, in every table and every matrix that a user hands over."""

from __future__ import annotations

from histoweave.errors import InputError

# Compared without blanks around and without regard to case.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "#n/a", "-"})
LISTED = "blank, NA, N/A, NaN, null, #N/A, -"
# As they are written, for parsers that compare exactly.
SPELLINGS = sorted({way(word) for word in MISSING for way in (str.lower, str.upper, str.title)} | {"NaN"})


def is_missing(text: str) -> bool:
    """Whether a cell says that nothing is known."""
    return (len(text) < 5 and text.strip().casefold() in MISSING) or text.isspace()


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
