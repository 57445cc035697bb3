"""Files that come from elsewhere, looked at before a library opens them: is it a file, is it the file itself?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_POINTER = b"version https://git-lfs.github.com/spec/"
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


def is_lfs_pointer(path: str | os.PathLike) -> bool:
    """Whether a file is the few lines of text that Git LFS leaves in place of a file that was not fetched."""
    with open(path, "rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def is_absent(path: str | os.PathLike) -> bool:
    """Whether nothing has that name; False where that cannot be told, as in a folder that may not be looked into."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def objection_to(path: str | os.PathLike) -> str | None:
    """Why nothing can be read from `path`, with what to do; None for a file that can be opened.

    A pipe or a device is not opened: reading it might never end.
    """
    if is_absent(path):
        return "does not exist; check the path (relative to the working directory)"
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        return f"cannot be accessed: {getattr(error, 'strerror', None) or error}; check the path"
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
        return f"is {kind}, not a file; give a file"
    try:
        if Path(path).stat().st_size == 0:
            return "is empty; copy it again"
        if is_lfs_pointer(path):
            return (
                "is a Git LFS pointer, a few lines of text in place of the file itself; run 'git lfs pull' where it "
                "comes from, and copy the file that this fetches"
            )
    except OSError as error:
        return f"cannot be read: {error.strerror}; correct that and run again"
    return None
