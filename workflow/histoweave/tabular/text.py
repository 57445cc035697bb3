"""Bytes to lines of text: compression, encoding and line ends, each by what the file holds and never by a guess."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import zlib
from dataclasses import dataclass

from histoweave.errors import InputError
from histoweave.storage.given_files import objection_to

_BLOCK_BYTES = 1 << 22
_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8 with a byte order mark", "latin-1": "Latin-1"}
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# What is handed over under the name of a table and is none.
_OTHERS = (
    (b"PK\x03\x04", "a spreadsheet or a zip archive; save the table as .tsv or .csv"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (.xls); save the table as .tsv or .csv"),
    (b"PAR1", "a parquet file; give it the ending .parquet"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; give it the ending .h5ad or .h5"),
    (b"%PDF", "a PDF; export the table as .tsv or .csv"),
    (b"{\\rtf", "a word processor's file; save the table as .tsv or .csv"),
    (b"BZh", "compressed by bzip2; decompress it, or compress it as .gz"),
    (b"\xfd7zXZ", "compressed by xz; decompress it, or compress it as .gz"),
)  # fmt: skip
_WEB_PAGE = re.compile(rb"\s*<(!doctype\s+html|html|\?xml)", re.IGNORECASE)
# In Latin-1 and Windows-1252 alike: letters of Western languages, at most two in a row, and the signs of units. Longer rows
# of such bytes, and other letters, are words of other alphabets in encodings of theirs.
_WESTERN = rb"\xc0-\xcf\xd1-\xd6\xd8-\xdc\xdf-\xef\xf1\xf3-\xf6\xf8-\xfc"
_LATIN = re.compile(rb"(?:[\x00-\x7f\xa0\xa7\xab\xb0-\xb5\xb7\xbb]|[" + _WESTERN + rb"]{1,2}(?![" + _WESTERN + rb"]))*")
_LEAD_AND_REST = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True)
class TextFile:
    """A text file as it was read: its `lines` without line ends (blank ones at the end left out), the `encoding` in
    words, and whether the last line has an end (`ended`), which a file that was cut short seldom has.
    """

    lines: list[str]
    encoding: str
    ended: bool


def read_text_file(path: str | os.PathLike, *, max_bytes: int) -> TextFile:
    """Read a text file, gzip-compressed or not, whatever its name says.

    UTF-8 (with or without a byte order mark), UTF-16 and UTF-32 (with one, or where every second byte of the text is
    0) are certain. What is no UTF-8 is read as Latin-1 where it holds Western letters only and no sequence of UTF-8;
    anything else is refused.

    Parameters
    ----------
    max_bytes: limit of the decompressed size.

    Raises
    ------
    InputError
        one line: the file is missing, may not be read, is no regular file, empty, too large, damaged, of an unknown
        encoding, or no text.
    """
    data = _decompressed(path, max_bytes=max_bytes)
    for magic, what in _OTHERS:
        if data.startswith(magic):
            raise InputError(f"{path}: this is {what}")
    if _WEB_PAGE.match(data):
        raise InputError(f"{path}: this is a web page and not a table; download the file itself")
    text, encoding = _decoded(data, path)
    del data  # as large as the text
    if not text.strip():
        raise InputError(f"{path}: is empty; copy or export it again")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}, row {line}: holds a byte of value 0, so this is no text or damaged; save it again")
    return TextFile(_lines(text), encoding, text.endswith(("\n", "\r")))


def read_bytes(path: str | os.PathLike, *, max_bytes: int) -> bytes:
    """The content of a regular file.

    Raises
    ------
    InputError
        one line: missing, a folder, a device, not permitted, empty, larger than `max_bytes`, a Git LFS pointer.
    """
    return _read(path, max_bytes=max_bytes, n_bytes=-1)


def check_file(path: str | os.PathLike, *, max_bytes: int) -> None:
    """Refuse what `read_bytes` refuses, without reading all of it."""
    _read(path, max_bytes=max_bytes, n_bytes=64)


def _read(path: str | os.PathLike, *, max_bytes: int, n_bytes: int) -> bytes:
    if against := objection_to(path):
        raise InputError(f"{path}: {against}")
    if os.path.getsize(path) > max_bytes:
        raise _too_large(path, max_bytes)
    try:
        with open(path, "rb") as file:
            return file.read(n_bytes)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); correct that and run again") from None


def _decompressed(path: str | os.PathLike, *, max_bytes: int) -> bytes:
    data = read_bytes(path, max_bytes=max_bytes)
    if not data.startswith(b"\x1f\x8b"):
        return data
    parts, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while part := file.read(_BLOCK_BYTES):
                parts.append(part)
                size += len(part)
                if size > max_bytes:
                    raise _too_large(path, max_bytes)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{path}: the compressed file is cut short or damaged; copy or download it again") from None
    if not size:
        raise InputError(f"{path}: is empty; copy or export it again")
    return b"".join(parts)


def _too_large(path: str | os.PathLike, max_bytes: int) -> InputError:
    return InputError(f"{path}: holds more than {max_bytes / (1 << 30):.3g} GiB, too much for this file; check it")


def _decoded(data: bytes, path: str | os.PathLike) -> tuple[str, str]:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data)
    if encoding is not None:
        try:
            return data.decode(encoding).removeprefix("\ufeff"), _NAMES.get(encoding, encoding.upper())
        except UnicodeDecodeError as error:
            name = _NAMES.get(encoding, encoding.upper())
            raise InputError(f"{path}: begins as {name} and is damaged ({error.reason}); save it as UTF-8") from None
    try:
        return data.decode("utf-8"), _NAMES["utf-8"]
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if _LATIN.fullmatch(data) and not _LEAD_AND_REST.search(data):
            return data.decode("latin-1"), _NAMES["latin-1"]
        raise InputError(
            f"{path}, row {line}: byte 0x{data[error.start]:02x} is not UTF-8, and which encoding it is cannot be told; "
            "save the file as UTF-8"
        ) from None


def _without_mark(data: bytes) -> str | None:
    """UTF-16 without a byte order mark, where the first characters are plain and so every second byte is 0."""
    head = data[:64]
    if len(head) < 4 or len(head) % 2:
        head = head[: len(head) // 2 * 2]
    if head and not any(head[1::2]) and all(head[::2]):
        return "utf-16-le"
    if head and not any(head[::2]) and all(head[1::2]):
        return "utf-16-be"
    return None


def _lines(text: str) -> list[str]:
    """Lines as text files end them: LF, CR LF or CR (no other character of Unicode ends a line here)."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines
