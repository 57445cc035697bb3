"""How much memory the stage takes, told from its input before it is read: file sizes do not say it, some are compressed."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from histoweave.expression.star import files_under

# Beside Python and its packages four copies of the matrix, and the text once: tests/unit/expression/test_size.py measures it.
_BASE_MB, _COPIES, _VALUE_BYTES = 600, 4, 8
_HEAD_BYTES = 8 << 20  # a header of 60,000 genes takes one
_GZIP = b"\x1f\x8b"
_MOST_PACKED = 1032  # bytes that zlib can make of one, at most


def memory_mb(path: str | os.PathLike) -> int:
    """Memory that `prepare_expression` takes for a file or folder, in MB, a third or more beyond what was measured.

    The number of values is that of the footer (parquet), or that of the first 8 MiB in proportion to
    the file (text), or that of the first file times their number (folder). What is damaged is refused by the job itself.

    Raises
    ------
    FileNotFoundError
        if there is nothing at `path`.
    """
    path = Path(path)
    if path.is_dir():
        files = [file for files in files_under(path).values() for file in files if file.suffix in (".tsv", ".gz")]
        values, n_bytes = (len(files) * _lines(files[0]), 0) if files else (0, 0)
    elif path.suffix.lower() == ".parquet":
        values, n_bytes = _parquet_values(path), path.stat().st_size
    elif path.suffix.lower() == ".h5ad":
        # Not opened here: a damaged HDF5 file can end the process. Sparse and compressed, a value takes a byte or so.
        values, n_bytes = path.stat().st_size, 0
    else:
        values, n_bytes = _text_values(path)
    return _BASE_MB + int((_COPIES * _VALUE_BYTES * values + n_bytes) / 1e6)


def _parquet_values(path: Path) -> int:
    n_bytes = path.stat().st_size
    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError):
        return n_bytes
    return int(footer.num_rows * footer.num_columns)


def _text_values(path: Path) -> tuple[int, int]:
    """About how many values a text has, and its size uncompressed: of a gzip file by its last four bytes, or as its first
    part is compressed where those (a size modulo 4 GiB) say less."""
    size, head, packed = path.stat().st_size, *_head(path)
    if packed:
        with path.open("rb") as file:
            file.seek(max(0, size - 4))
            stated = int.from_bytes(file.read(4), "little")
        n_bytes = max(min(stated, _MOST_PACKED * size), int(size * len(head) / packed))
    else:
        n_bytes = size
    lines = head.partition(b"\n")[2] or head
    fields = max(lines.count(mark) for mark in (b"\t", b",", b";", b" "))
    return int(n_bytes * fields / max(1, len(lines))), n_bytes


def _head(path: Path) -> tuple[bytes, int]:
    """The first part of a text, and how many bytes of the file it was compressed to (0: not compressed)."""
    with path.open("rb") as file:
        data = file.read(_HEAD_BYTES)
    if not data.startswith(_GZIP):
        return data, 0
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        head = unpacker.decompress(data, _HEAD_BYTES)
    except zlib.error:
        return b"", 0
    return head, len(data) - len(unpacker.unconsumed_tail)


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    try:
        with gzip.open(path) if zipped else path.open("rb") as lines:
            return sum(1 for _ in lines)
    except (OSError, EOFError, zlib.error):
        return 0
