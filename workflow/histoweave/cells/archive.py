"""Members of .zip archives, with bounds: an archive of a few kilobytes may declare, or hold, any number of bytes."""

from __future__ import annotations

import io
import zipfile

MAX_MEMBER_BYTES = 2**28
_STEP_BYTES = 256
_ENCRYPTED = 1  # bit of a member's flags


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member, of at most 256 MiB.

    Raises
    ------
    KeyError
        if there is none of that name.
    ValueError
        for a larger one, one of a name that occurs twice, and an encrypted one. What else the standard library raises for damaged archives is left as it is.
    """
    member = archive.getinfo(name)
    if _is_repeated(archive, name):
        raise ValueError("it occurs twice; keep one picture of each name")
    if member.flag_bits & _ENCRYPTED:
        raise ValueError("it is encrypted; unpack the archive and pack it without a password")
    if member.file_size > MAX_MEMBER_BYTES:
        raise ValueError(f"it is larger than {MAX_MEMBER_BYTES >> 20} MiB")
    with archive.open(member) as opened:
        if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return opened.read(member.file_size)  # no more is ever unpacked, whatever the archive holds
        # Of these zipfile unpacks at once what it has read, which may be thousands of times as much.
        assert isinstance(opened, zipfile.ZipExtFile)
        opened.MIN_READ_SIZE = _STEP_BYTES
        content = io.BytesIO()
        while part := opened.read(_STEP_BYTES):
            content.write(part)
        return content.getvalue()


def _is_repeated(archive: zipfile.ZipFile, name: str) -> bool:
    """Whether more than one member has a name; zipfile would take the last one."""
    if len(archive.NameToInfo) == len(archive.filelist):  # which is told at once for every good archive
        return False
    return sum(member.filename == name for member in archive.filelist) > 1
