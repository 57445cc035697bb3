"""Folders of DICOM files: which of them are DICOM, and which series is the slide.

OpenSlide opens a series by any of its files. Which series a folder holds is read here, from the first elements of each
file (DICOM PS3.5 and PS3.10), up to the series' identifier.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from histoweave.folders import check_readable, files_in
from histoweave.slides.refusal import Refusal, words_of

_PREAMBLE_BYTES, _MAGIC = 128, b"DICM"
# Never DICOM, and often many: they are not opened to find out.
_OTHER = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".xml", ".json", ".txt", ".csv", ".tsv")
_IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_TRANSFER_SYNTAX, _IMAGE_TYPE, _CLASS, _SERIES = (0x0002, 0x0010), (0x0008, 0x0008), (0x0008, 0x0016), (0x0020, 0x000E)
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_WANTED = {_TRANSFER_SYNTAX, _IMAGE_TYPE, _CLASS, _SERIES}
_ITEM, _ITEM_ENDS, _SEQUENCE_ENDS = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNKNOWN_LENGTH = 0xFFFFFFFF
_LONGEST_VALUE = 1024
_MOST_ELEMENTS = 100_000  # in what is skipped


def may_be_dicom(file: Path) -> bool:
    """Whether the name of a file leaves it open that it is DICOM, which needs no suffix."""
    return file.suffix.lower() not in _OTHER


def is_dicom(file: Path) -> bool:
    """Whether a file is DICOM by its content, whatever it is called; False for one that cannot be read."""
    try:
        if not may_be_dicom(file) or not file.is_file():
            return False
        with open(file, "rb") as opened:
            return opened.read(_PREAMBLE_BYTES + 4)[_PREAMBLE_BYTES:] == _MAGIC
    except OSError:
        return False


def dicom_files(folder: str | Path) -> list[Path]:
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
        `unreadable` for two series, with their identifiers, and if no file shows a slide.
    """
    files = dicom_files(folder)
    series: dict[str, list[Path]] = {}
    problem = ""
    for file in files:
        try:
            found = _slide_series(file)
        except (OSError, ValueError, struct.error) as error:
            problem = problem or f"; {_some([file])}: {words_of(error)}"
            continue
        if found:
            series.setdefault(found, []).append(file)
    if len(series) > 1:
        named = ", ".join(f"{identifier} ({_some(of_series)})" for identifier, of_series in sorted(series.items()))
        raise Refusal(
            "unreadable",
            f"the folder holds {len(series)} DICOM series, and a slide is one: {named}; give each a folder of its own, "
            "or the path of one file of the series",
        )
    if files and not series:
        raise Refusal("unreadable", f"none of the {len(files)} DICOM files shows a whole slide{problem}")
    return series.popitem()[1][0] if series else folder


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
        values = _first_elements(opened)
    image_type = values.get(_IMAGE_TYPE, "").split("\\")
    shows_slide = values.get(_CLASS) == _WHOLE_SLIDE and "VOLUME" in image_type[2:3]
    return values.get(_SERIES, "unnamed") if shows_slide else ""


def _first_elements(file: BinaryIO) -> dict[tuple[int, int], str]:
    """Image type, class and series of an opened file that stands behind its magic number."""
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
            break
        if tag <= last:
            raise ValueError("its elements are out of order")
        last = tag
        if tag in _WANTED:
            values[tag] = file.read(min(length, _LONGEST_VALUE)).decode("ascii", "replace").strip("\0 ")
        else:
            form.skip(length, file)
    return values


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
