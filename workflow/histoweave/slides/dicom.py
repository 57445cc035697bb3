"""Folders of DICOM files: which of them are DICOM, and which series is the slide.

OpenSlide opens a series by any of its files. Which series a folder holds is read here, from the first elements of each
file (DICOM PS3.5 and PS3.10), up to the series' identifier.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from histoweave.storage.dicom_files import _MAGIC, _PREAMBLE_BYTES, is_dicom
from histoweave.storage.folders import check_readable, files_in
from histoweave.storage.refusal import Refusal, words_of

_IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_TRANSFER_SYNTAX, _IMAGE_TYPE, _CLASS, _SERIES = (0x0002, 0x0010), (0x0008, 0x0008), (0x0008, 0x0016), (0x0020, 0x000E)
_PIXELS = (0x7FE0, 0x0008)  # or later: as whole numbers, they are (0x7FE0, 0x0010)
_DIRECTORY = 0x0004  # the last group of a DICOMDIR, which lists the files of a disk
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_WANTED = {_TRANSFER_SYNTAX, _IMAGE_TYPE, _CLASS, _SERIES}
_ITEM, _ITEM_ENDS, _SEQUENCE_ENDS = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNKNOWN_LENGTH = 0xFFFFFFFF
_LONGEST_VALUE = 1024
_MOST_ELEMENTS = 10_000_000  # in what is skipped, such as where each of many tiles lies


def dicom_files(folder: str | os.PathLike) -> list[Path]:
    """The DICOM files directly in `folder`, by name: with the suffix `.dcm`, or by their content.

    Raises
    ------
    Refusal
        `unreadable`, if the folder may not be listed.
    """
    check_readable(folder)
    return [file for file in files_in(folder) if file.suffix.lower() == ".dcm" or is_dicom(file)]


def slide_file(folder: Path) -> Path:
    """A file of the one series of a folder that shows a slide; OpenSlide finds the others.

    Labels, overviews and files of another kind (annotations) do not count. A folder without DICOM files answers with
    itself.

    Raises
    ------
    Refusal
        `unreadable` for two series, with their identifiers, if no file shows a slide, and as `check_series`.
    """
    files = dicom_files(folder)
    series, problem = _series_of(files)
    if len(series) > 1:
        named = ", ".join(f"{identifier} ({_some(of_series)})" for identifier, of_series in sorted(series.items()))
        raise Refusal(
            "unreadable",
            f"the folder holds {len(series)} DICOM series, and a slide is one: {named}; give each a folder of its own, "
            "or the path of one file of the series",
        )
    if files and not series:
        said = f"; {problem}" if problem else ""
        raise Refusal("unreadable", f"none of the {len(files)} DICOM files shows a whole slide{said}")
    if not series:
        return folder
    check_series(folder)
    return series.popitem()[1][0]


def check_series(folder: Path) -> None:
    """Refuse a folder with a damaged DICOM file: OpenSlide would pass it over, and take a coarser level for the finest.

    Raises
    ------
    Refusal
        `unreadable`, with the file.
    """
    files = dicom_files(folder)
    _, problem = _series_of(files)
    suffixes = {file.suffix for file in files}
    emptied = [file for file in files_in(folder) if file.suffix in suffixes and file not in files and _is_empty(file)]
    if emptied and not problem:
        problem = f"{_some(emptied)}: is empty"
    if problem:
        raise Refusal(
            "unreadable",
            f"{problem}; it may be a level of the slide: copy it again, or move it to another folder if it is none",
        )


def shows_slide(file: Path) -> bool:
    """Whether a file holds a level of a whole slide; False for one that cannot be read."""
    return bool(_series_of([file])[0])


def _series_of(files: list[Path]) -> tuple[dict[str, list[Path]], str]:
    """The files of each series that shows a slide, and what is wrong with the first that cannot be read."""
    series: dict[str, list[Path]] = {}
    problem = ""
    for file in files:
        try:
            found = _slide_series(file)
        except (OSError, ValueError, struct.error) as error:
            words = "is cut short" if isinstance(error, struct.error) else words_of(error)
            problem = problem or f"{_some([file])}: {words}"
            continue
        if found:
            series.setdefault(found, []).append(file)
    return series, problem


def _is_empty(file: Path) -> bool:
    """Whether a file begins with zeros up to where DICOM has its magic number, or ends before."""
    try:
        if not file.is_file():
            return False
        with open(file, "rb") as opened:
            return not opened.read(_PREAMBLE_BYTES + len(_MAGIC)).strip(b"\0")
    except OSError:
        return False


def _some(files: list[Path]) -> str:
    first = f"'{files[0].parent.name}/{files[0].name}'"
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _slide_series(file: Path) -> str:
    """The series of a file of a whole slide's pyramid, empty for other DICOM files.

    Raises
    ------
    ValueError
        for a file that is no DICOM or is cut short.
    """
    with open(file, "rb") as opened:
        if opened.read(_PREAMBLE_BYTES + 4)[_PREAMBLE_BYTES:] != _MAGIC:
            raise ValueError("is not DICOM")
        values, form = _first_elements(opened)
        image_type = values.get(_IMAGE_TYPE, "").split("\\")
        is_level = values.get(_CLASS) == _WHOLE_SLIDE and "VOLUME" in image_type[2:3]
        if is_level:
            _find_pixels(opened, form)
    return values.get(_SERIES, "unnamed") if is_level else ""


def _find_pixels(file: BinaryIO, form: _Form) -> None:
    """Go from element to element up to the pixels.

    Raises
    ------
    ValueError
        for a file that ends before them.
    """
    for _ in range(_MOST_ELEMENTS):
        head = file.read(8)
        if not head:
            raise ValueError("is cut short before its pixels")
        tag, length = form.tag_and_length(head, file)
        if tag >= _PIXELS:
            return
        form.skip(length, file)


def _first_elements(file: BinaryIO) -> tuple[dict[tuple[int, int], str], _Form]:
    """Image type, class and series of an opened file that stands behind its magic number, and how it goes on.

    Raises
    ------
    ValueError
        for elements out of order, and for a file that ends before its class and series could stand there.
    """
    values: dict[tuple[int, int], str] = {}
    form = _Form()  # the file's meta information is always explicit and little-endian
    in_meta, last = True, (0, 0)
    while head := file.read(8):
        if in_meta and head[:2] != b"\x02\0":
            in_meta = False
            syntax = values.get(_TRANSFER_SYNTAX, "")
            form = _Form(order=">" if syntax == _BIG_ENDIAN else "<", explicit=syntax != _IMPLICIT)
        tag, length = form.tag_and_length(head, file)
        if tag > _SERIES:
            form.skip(length, file)
            return values, form
        if tag <= last:
            raise ValueError("its elements are out of order")
        last = tag
        if tag in _WANTED:
            values[tag] = file.read(min(length, _LONGEST_VALUE)).decode("ascii", "replace").strip("\0 ")
        else:
            form.skip(length, file)
    if last[0] != _DIRECTORY:
        raise ValueError("is cut short")
    return values, form


@dataclass(frozen=True)
class _Form:
    """How the elements of a data set are written."""

    order: str = "<"
    explicit: bool = True

    def tag_and_length(self, head: bytes, file: BinaryIO) -> tuple[tuple[int, int], int]:
        """Tag and length of an element, of its first 8 bytes and, where the form has them, the next 4."""
        tag = struct.unpack(self.order + "HH", head[:4])
        if not self.explicit or tag[0] == _ITEM[0]:
            return tag, struct.unpack(self.order + "I", head[4:])[0]
        if head[4:6] in _LONG:
            return tag, struct.unpack(self.order + "I", file.read(4))[0]
        return tag, struct.unpack(self.order + "H", head[6:])[0]

    def skip(self, length: int, file: BinaryIO) -> None:
        """Go past the value of an element, or past a sequence of unknown length, which ends with a mark."""
        if length != _UNKNOWN_LENGTH:
            file.seek(length, 1)
            return
        depth = 1  # of sequences and items that are still open
        for _ in range(_MOST_ELEMENTS):
            tag, length = self.tag_and_length(file.read(8), file)
            if tag in (_ITEM_ENDS, _SEQUENCE_ENDS):
                depth -= 1
                if not depth:
                    return
            elif length == _UNKNOWN_LENGTH:
                depth += 1
            elif tag != _ITEM:  # the elements of an item follow one by one
                file.seek(length, 1)
        raise ValueError("a sequence does not end")
