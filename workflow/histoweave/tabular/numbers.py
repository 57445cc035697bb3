"""Numbers in text fields: what is read as one, and how a field that is none is named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from histoweave.errors import InputError, short
from histoweave.tabular.missing import is_missing

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE | re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+")


def parse_numbers(texts: Sequence[str], *, where: str, columns: Sequence[str]) -> np.ndarray:
    """(N,) float64 of text fields, NaN where missing.

    Raises
    ------
    InputError
        naming `where` and the column of a field that is no number.
    """
    values = np.empty(len(texts))
    for at, raw in enumerate(texts):
        text = raw.strip()
        if is_missing(text):
            values[at] = np.nan
        elif NUMBER.fullmatch(text):
            values[at] = float(text)
        else:
            raise InputError(f"{where}: value {short(text)} of '{columns[at]}' is not a number{_hint(text)}")
    return values


def _hint(text: str) -> str:
    if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})*,\d+|[+-]?\d+,\d+", text):
        return "; write a decimal point in place of the comma, and no separators of thousands"
    return "; leave missing values empty or write NA, and remove columns that hold words"


def are_thousands(texts: Iterable[str]) -> bool:
    """Whether every number with a point reads as thousands (1.234 for 1234), beside numbers without a point."""
    with_point = without = 0
    for text in texts:
        if "." not in text:
            without += text.isdigit()
        elif _THOUSANDS.fullmatch(text):
            with_point += 1
        else:
            return False
    return bool(with_point and without)


def looks_numeric(text: str) -> bool:
    """A number as others write it, which is to be named as a wrong value: a decimal comma, 1_000, 0x1F."""
    return text[0] in "+-." or text[0].isdigit()
