"""Which files are DICOM, by their names and first bytes."""

from __future__ import annotations

from pathlib import Path

_PREAMBLE_BYTES, _MAGIC = 128, b"DICM"


# Never DICOM, and often many: they are not opened to find out.
_OTHER = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".xml", ".json", ".txt", ".csv", ".tsv")


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
