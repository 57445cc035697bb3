"""What lies in a folder of the user, and whether it may be read: one answer for everything that lists or opens."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from histoweave.storage.refusal import Refusal


def files_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The files directly in `folder`, by name.

    Hidden files are no part of it: beside every `x`, macOS leaves a `._x` on disks of other systems. Links are
    followed. A link that leads nowhere counts as a file, so that whoever reads it says so.

    Raises
    ------
    OSError
        if the folder is missing or may not be listed.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and _is_file(entry)]
    return [Path(folder, name) for name in sorted(names)]


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:  # such as links in a circle
        return True


def shown_name(name: str | os.PathLike) -> str:
    """A file's name (no folders) as text that can be written: bytes that are no UTF-8 become `\\xfc` and the like."""
    return os.fsencode(os.path.basename(name)).decode("utf-8", "backslashreplace")


def file_of(folder: str | os.PathLike, shown: str) -> Path:
    """The file of `folder` with this `shown_name`."""
    path = Path(folder, shown)
    if "\\x" not in shown or os.path.lexists(path):
        return path
    name = re.sub(rb"\\x([89a-f][0-9a-f])", lambda byte: bytes.fromhex(byte[1].decode()), shown.encode())
    return Path(folder, os.fsdecode(name))


def check_readable(path: str | os.PathLike, *, status: str = "unreadable") -> None:
    """Refuse a file or folder that is not there or may not be read, before a library words it otherwise.

    Raises
    ------
    Refusal
        `missing_file`, or `status` with what the system says, such as missing permission.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        words = f"{path} is a link to a place that does not exist" if os.path.islink(path) else f"{path} does not exist"
        raise Refusal("missing_file", words) from None
    except ValueError:  # a NUL in its name
        raise Refusal("missing_file", f"{path} does not exist") from None
    except OSError as error:
        raise Refusal(status, f"{path} cannot be read: {error.strerror}") from None
    is_folder = stat.S_ISDIR(found.st_mode)
    if not is_folder and not stat.S_ISREG(found.st_mode):
        raise Refusal(status, f"{path} is neither a file nor a folder")  # opening a pipe would wait for ever
    if not may_read(path, is_folder=is_folder):
        raise Refusal(status, f"{path} cannot be read: Permission denied; ask for the right to read it")


def may_read(path: str | os.PathLike, *, is_folder: bool = False) -> bool:
    """Whether this process has the right to read a file, or to list and enter a folder."""
    return os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK, effective_ids=True)
