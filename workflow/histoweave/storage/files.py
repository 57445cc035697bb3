"""Whole files only: write beside, fsync, rename. Tables are parquet, byte-identical for equal content."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from histoweave.errors import InputError

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_MIN_FREE_BYTES = 1 << 16
_ABANDONED_S = 24 * 3600


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, fsync it and rename it to `path`.

    The temporary name keeps the suffix of `path` (libraries choose formats by it). If the block raises, the temporary
    file is removed and `path` is left as it was. Temporary files of this target that killed processes left are removed.

    Raises
    ------
    InputError
        if the place cannot be written to: a full disk, a quota, a read-only folder, missing permission.
    """
    path = Path(path)
    own = f"{_process_space()}~{os.getpid()}~{secrets.token_hex(4)}"
    temporary = path.with_name(f".partial~{path.name}~{own}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except Exception as error:
        _raise_if_unwritable(error, path)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@functools.cache
def _process_space() -> str:
    """8 hex digits for all processes whose ids this one can look up: of this machine since its start, of this container.

    Containers may have one host name, and processes of one id.
    """
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def check_writable(*folders: str | os.PathLike) -> None:
    """Try whether a file of 64 KiB can be written in each folder, or where that would be made; nothing is left there.

    Raises
    ------
    InputError
        if not: a read-only folder, missing permission, a full disk.
    """
    for folder in map(Path, folders):
        place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        try:
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(bytes(_MIN_FREE_BYTES))
                file.flush()
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror}; fix this and run again") from error


def _raise_if_unwritable(error: Exception, path: Path) -> None:
    """Tell a place that cannot be written to from other failures; libraries hide the error number in their words."""
    for code in _UNWRITABLE:
        if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
            problem = os.strerror(code)
            break
    else:
        if not path.parent.is_dir() or shutil.disk_usage(path.parent).free >= _MIN_FREE_BYTES:
            return
        problem = os.strerror(errno.ENOSPC)
    raise InputError(f"{path} cannot be written: {problem}; fix this and run again") from error


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of `path` whose process is gone (of another machine or container: after a day)."""
    form = re.compile(rf"\.partial~{re.escape(path.name)}~(?P<space>[^~]+)~(?P<pid>\d+)~.*{re.escape(path.suffix)}")
    for entry in os.scandir(path.parent):
        match = form.fullmatch(entry.name)
        if match is None:
            continue
        with contextlib.suppress(OSError):
            if match["space"] == _process_space():
                gone = not Path(f"/proc/{match['pid']}").exists()
            else:
                gone = time.time() - entry.stat().st_mtime > _ABANDONED_S
            if gone:
                os.unlink(entry.path)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write `content` as JSON with sorted keys, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_table(path: str | os.PathLike, table: pd.DataFrame) -> None:
    """Write `table` as parquet without its index; equal content gives equal bytes."""
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    with atomic_path(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd")


def read_table(path: str | os.PathLike, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a parquet table; string columns come back as Python strings."""
    return pq.read_table(path, columns=columns).to_pandas()


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes; of a folder, of the names and bytes of all its files in order of name."""
    path = Path(path)
    digest = hashlib.sha256()
    for member in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if member.is_file():
            if member != path:
                digest.update(str(member.relative_to(path)).encode())
            with member.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
