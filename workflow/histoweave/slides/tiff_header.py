"""A look at a TIFF's header before OpenSlide has it: it ends the process where a tile would not fit into memory."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Of TIFF and BigTIFF, in both orders of bytes.
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_TILE_PX = 2**26  # 256 MB as OpenSlide holds it; scanners write 2**16 to 2**22
_MOST_PAGES, _MOST_TAGS = 4096, 4096
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_WHOLE_NUMBERS = {3: "H", 4: "I", 16: "Q"}  # types SHORT, LONG and LONG8


def is_tiff(file: str | os.PathLike) -> bool:
    """Whether a file begins as a TIFF."""
    with open(file, "rb") as opened:
        return opened.read(4) in MAGIC


def huge_tile(file: str | os.PathLike) -> tuple[int, int] | None:
    """Width and height in px of the first tile of a TIFF with more than `MAX_TILE_PX`; None if there is none.

    A header that cannot be followed has none: it is left to OpenSlide.
    """
    with Path(file).open("rb") as opened:
        try:
            for width, height in _tile_sizes(opened):
                if width * height > MAX_TILE_PX:
                    return width, height
        except (struct.error, OverflowError, ValueError, OSError):
            pass
    return None


def _tile_sizes(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Width and height of the tiles of each page (TIFF 6.0, and its form with 64-bit offsets)."""
    magic = file.read(4)
    order = "<" if magic[:2] == b"II" else ">"
    big = magic in MAGIC[2:]
    count, offset, tag_bytes = ("Q", "Q", 20) if big else ("H", "I", 12)

    def numbers(form: str, at: int | None = None) -> tuple[int, ...]:
        if at is not None:
            file.seek(at)
        return struct.unpack(order + form, file.read(struct.calcsize("=" + form)))

    (page,) = numbers(offset, 8 if big else 4)
    for _ in range(_MOST_PAGES):
        if not page:
            return
        (n_tags,) = numbers(count, page)
        tags = file.read(min(n_tags, _MOST_TAGS) * tag_bytes)
        size = {_TILE_WIDTH: 0, _TILE_LENGTH: 0}
        for start in range(0, len(tags) - tag_bytes + 1, tag_bytes):
            tag, kind = struct.unpack_from(order + "HH", tags, start)
            if tag in size and kind in _WHOLE_NUMBERS:
                (size[tag],) = struct.unpack_from(
                    order + _WHOLE_NUMBERS[kind], tags, start + tag_bytes - (8 if big else 4)
                )
        yield size[_TILE_WIDTH], size[_TILE_LENGTH]
        (page,) = numbers(offset, page + struct.calcsize("=" + count) + n_tags * tag_bytes)
