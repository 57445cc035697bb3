"""HDF5 files of somebody else, opened with care."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from histoweave.storage.apart import try_reading
from histoweave.storage.given_files import is_absent, objection_to
from histoweave.storage.refusal import Refusal


@contextlib.contextmanager
def open_h5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file of somebody else for reading. It is read in another process first: `apart.try_reading`.

    Raises
    ------
    Refusal
        `missing_file`; `unreadable` for what is no HDF5 file, is cut short or is damaged, also where that shows while the
        block reads; `bad_features` or `bad_coords` for values that the file does not hold itself (`datasets.dataset`).
    """
    if is_absent(path):
        raise Refusal("missing_file", f"{path} does not exist")
    if against := objection_to(path):
        raise Refusal("unreadable", f"{path.name}: {against}")
    try:
        try_reading(path)
        with h5py.File(path, "r") as file:
            yield file
    except Refusal:
        raise
    except Exception as error:  # the library answers damage with errors of any kind
        raise Refusal("unreadable", f"{path.name} cannot be read as HDF5: {error}") from None


def text(value: Any) -> str:
    """A string attribute as one line, whichever way HDF5 holds it; empty if there is none."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return clean(str(value if value is not None else ""))


def clean(words: str, *, longest: int = 500) -> str:
    """Words of a file that can be written anywhere: no control or half characters, and not too many."""
    return "".join(letter if letter.isprintable() else " " for letter in words[:longest]).strip()


LARGEST = 1e12  # no network gives more, and what is computed of it stays within float32
