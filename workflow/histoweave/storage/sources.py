"""Which files a source of the user stands for, and how a later run sees that they are others now.

A path in a table may stand for more than one file: a folder, or a slide format that keeps its data in companions. They
may arrive later than the named file, or be replaced on their own.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from histoweave.storage.dicom_files import is_dicom, may_be_dicom
from histoweave.storage.folders import files_in, may_read

# Formats of one file; all others are looked at more closely.
_ALONE = (".svs", ".tif", ".tiff", ".ndpi", ".scn", ".bif", ".svslide", ".jpg", ".jpeg", ".png", ".bmp", ".h5", ".zip")
_INDEX_BYTES = 2**20  # an index of Hamamatsu's has some hundred lines
# Files are compared whole up to that many bytes together, else by parts of each: with an archive's list of members,
# which has a checksum of each.
_WHOLE_BYTES, _PROBE_BYTES, _DIRECTORY_BYTES = 64 << 20, 4096, 16 << 20


def files_of(path: str | os.PathLike) -> list[Path]:
    """The files that `path` stands for: those of a folder, or the file and the companions that it needs.

    MIRAX keeps its data in a folder of the same name, Hamamatsu's VMS and VMU name theirs, and a DICOM series lies in
    one folder. Named companions are listed also where they are missing.

    Raises
    ------
    OSError
        if a folder cannot be listed.
    """
    place = Path(path)
    if place.is_dir():
        return files_in(place)
    suffix = place.suffix.lower()
    if suffix == ".mrxs":
        data = place.with_suffix("")
        return [place, *(files_in(data) if data.is_dir() else [])]
    if suffix in (".vms", ".vmu"):
        return [place, *_named_in(place)]
    if suffix not in _ALONE and (suffix == ".dcm" or is_dicom(place)):
        return [place, *(file for file in files_in(place.parent) if may_be_dicom(file) and file.name != place.name)]
    return [place]


def _named_in(index: Path) -> list[Path]:
    """The files that an index of lines `Key=file` names."""
    with index.open("rb") as file:
        lines = file.read(_INDEX_BYTES).decode("latin-1").splitlines()
    values = {line.split("=", 1)[1].strip() for line in lines if "=" in line}
    return [index.parent / value for value in sorted(values) if "." in value and not {"/", "\\", "\0"} & set(value)]


@dataclass(frozen=True)
class Source:
    """What a path stands for, as it is now.

    Attributes
    ----------
    stamp: size in bytes and time of change in ns; of several files all bytes, the newest time, and a hash of every
        file's name, size and time. None if there is nothing or it may not be read.
    changed_ns: the last change of a file's status: its rights, its links, its content in whatever way.
    files: all of them.
    """

    stamp: list[int] | None
    changed_ns: int = 0
    files: tuple[Path, ...] = ()

    def look(self) -> int:
        """A hash of the content, 0 if none of the files can be read.

        Of up to 64 MiB it is the whole content, else the first, middle and last 4 KiB of each file, and of a ZIP archive
        the last 16 MiB. It tells other rights, which change nothing that was read, from other content of the same size
        and time.
        """
        whole = sum(max(0, _size_and_times(file)[0]) for file in self.files) <= _WHOLE_BYTES
        seen = [_content_of(file, whole=whole) for file in self.files]
        return _number(seen) if any(seen) else 0


def source(path: str | os.PathLike | None) -> Source:
    """Look at what `path` stands for."""
    if not path:
        return Source(None)
    try:
        stat = os.stat(path)  # companions alone are nothing
        is_folder = S_ISDIR(stat.st_mode)
        if not may_read(path, is_folder=is_folder):
            return Source(None)
        if not is_folder and Path(path).suffix.lower() in _ALONE:
            return Source([stat.st_size, stat.st_mtime_ns], stat.st_ctime_ns, (Path(path),))
        found = files_of(path)
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return Source(None)
    seen = [_size_and_times(file) for file in found]
    stamp = [sum(max(0, size) for size, *_ in seen), max((written for _, written, _ in seen), default=0)]
    if is_folder or len(found) > 1:
        parts = [(file.name, size, written) for file, (size, written, _) in zip(found, seen, strict=True)]
        stamp.append(_number(parts))
    return Source(stamp, max((changed for *_, changed in seen), default=0), tuple(found))


def source_stamp(path: str | os.PathLike | None) -> list[int] | None:
    """The `stamp` of a source."""
    return source(path).stamp


def _size_and_times(file: Path) -> tuple[int, int, int]:
    """Bytes, and times of change of content and of status in ns; -1 bytes for what is missing or may not be read."""
    try:
        stat = file.stat()
    except (OSError, ValueError):
        return -1, 0, 0
    return (stat.st_size if may_read(file) else -1), stat.st_mtime_ns, stat.st_ctime_ns


def _content_of(file: Path, *, whole: bool) -> list[str] | None:
    """The name of a file and hashes of its content, or of parts of it; None if it cannot be read."""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as opened:
            if whole:
                return [file.name, hashlib.file_digest(opened, "sha256").hexdigest()]
            size = os.fstat(opened.fileno()).st_size
            tail = _DIRECTORY_BYTES if file.suffix.lower() == ".zip" else _PROBE_BYTES
            parts = [file.name]
            for start, length in (
                (0, _PROBE_BYTES),
                (size // 2 - _PROBE_BYTES // 2, _PROBE_BYTES),
                (size - tail, tail),
            ):
                opened.seek(max(0, start))
                parts.append(hashlib.sha256(opened.read(length)).hexdigest())
            return parts
    except OSError:
        return None


def _number(what: list) -> int:
    """A hash of plain values that JSON and every reader keep whole."""
    return int.from_bytes(hashlib.sha256(repr(what).encode("utf-8", "surrogateescape")).digest()[:6], "big")
