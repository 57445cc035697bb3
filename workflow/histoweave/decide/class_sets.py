"""Sets of classes as one text: joined by `; `, so that every set can be told apart again whatever the classes are called."""

from __future__ import annotations

import csv
from collections.abc import Iterable

SEPARATOR = "; "
MARGINAL, CLASS = "marginal", "class"  # kinds of conformal sets: one threshold for all, one for each class


def joined(labels: Iterable[str]) -> str:
    """Labels joined by `; `; one that holds `;` or `"` stands in double quotes, with those inside it doubled."""
    return SEPARATOR.join(_quoted(label) for label in labels)


def parted(text: str) -> list[str]:
    """The labels that `joined` made a text of."""
    return next(csv.reader([text], delimiter=";", skipinitialspace=True, strict=True)) if text else []


def _quoted(label: str) -> str:
    if any(mark in label for mark in ';"\r\n') or label != label.strip():
        return '"' + label.replace('"', '""') + '"'
    return label
