"""Opening a bundle: a zip or its unpacked folder, every member held against its hash before anything is read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from histoweave.apply.manifest import NAME, Manifest, parse
from histoweave.errors import InputError
from histoweave.storage.files import sha256_of
from histoweave.storage.given_files import is_absent, objection_to
from histoweave.storage.strict_json import MAX_BYTES as MAX_MANIFEST_BYTES

# A bundle's members are stored as they are. One that was packed anew, with compression, is read up to this: so many times
# the size of the zip, and a little more for small ones.
MAX_RATIO, SMALL_BYTES = 20, 64 << 20
_MAX_LISTING_BYTES = 4 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes
    ----------
    folder : where its members lie, whole and as they were made.
    manifest : its `bundle.json`.
    """

    folder: Path
    manifest: Manifest

    def has(self, member: str) -> bool:
        """Whether the bundle holds a member."""
        return member in self.manifest.files

    def path(self, member: str) -> Path:
        """Where a member lies; KeyError if the bundle does not hold it."""
        if not self.has(member):
            raise KeyError(member)
        return self.folder / member


def bundle_file(path: str | Path) -> Path:
    """The file that stands for a bundle: the zip, or `bundle.json` of a folder.

    Raises
    ------
    InputError
        if there is none.
    """
    path = Path(path)
    file = path / NAME if os.path.isdir(path) else path  # of pathlib, this would end at a path that cannot be looked at
    if is_absent(file):
        raise InputError(f"apply.bundle '{path}' is not there; give a bundle.zip, or its unpacked folder with {NAME}")
    if against := objection_to(file):
        raise InputError(f"apply.bundle '{path}': {file.name} {against}")
    return file


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of a bundle (zip, folder or the folder's `bundle.json`), without looking at the other members.

    Raises
    ------
    InputError
        if it is not there or not a bundle.
    """
    file = bundle_file(path)
    if file.name == NAME:
        with file.open("rb") as text:
            return parse(text.read(MAX_MANIFEST_BYTES + 1), where=str(file.parent))
    with _zip(file) as archive:
        if _entry(archive, NAME, file).file_size > MAX_MANIFEST_BYTES:
            raise InputError(
                f"{file}: {NAME} is larger than {MAX_MANIFEST_BYTES >> 20} MB; is it a bundle of histoweave?"
            )
        return parse(b"".join(_blocks(archive, NAME, file)), where=str(file))


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Bundle]:
    """Check every member of a bundle against its hash, and lend its folder (of a zip: a temporary one).

    Raises
    ------
    InputError
        naming the first member that is missing or has other bytes, or the archive if it unpacks to more than `MAX_RATIO`
        times its size. Errors of the block that name a member in the temporary folder name it in the bundle instead.
    """
    file = bundle_file(path)
    manifest = read_manifest(file)
    if file.name == NAME:
        for name, sha256 in sorted(manifest.files.items()):
            if against := objection_to(file.parent / name):
                raise InputError(
                    f"{file.parent}: member '{name}' is missing or no file ({against}); copy the bundle again"
                )
            _check(sha256_of(file.parent / name), sha256, name, file.parent)
        yield Bundle(file.parent, manifest)
        return
    with _zip(file) as archive, tempfile.TemporaryDirectory(prefix="histoweave-bundle-") as folder:
        _check_sizes(archive, manifest, file)
        for name, sha256 in sorted(manifest.files.items()):
            _check(_unpack(archive, name, file, Path(folder, name)), sha256, name, file)
        try:
            yield Bundle(Path(folder), manifest)
        except InputError as error:
            raise InputError(str(error).replace(f"{folder}{os.sep}", f"{file}: ")) from None


def _check(found: str, stated: str, name: str, bundle: Path) -> None:
    if found != stated:
        raise InputError(
            f"{bundle}: member '{name}' has other bytes than when the bundle was made (SHA-256 {found[:12]}, stated "
            f"{stated[:12]}); copy the bundle again"
        )


class _Listed(io.BufferedReader):
    """A zip whose listing of members is not read if it is larger than any bundle needs."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if size > _MAX_LISTING_BYTES:
            raise zipfile.BadZipFile("its listing of members is too large")
        return super().read(size)


@contextlib.contextmanager
def _zip(file: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, in which each member has a name of its own that stays inside."""
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(_Listed(io.FileIO(file)))))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise InputError(f"{file}: cannot be opened as a zip ({error}); copy the bundle again") from None
        _check_names(archive, file)
        yield archive


def _check_names(archive: zipfile.ZipFile, file: Path) -> None:
    names = set()
    for entry in archive.infolist():
        name = entry.filename
        if name in names:
            raise InputError(f"{file}: member '{name:.80}' occurs twice; copy the bundle again")
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise InputError(f"{file}: member '{name:.80}' would be written outside the bundle; use another bundle")
        names.add(name)


def _entry(archive: zipfile.ZipFile, name: str, file: Path) -> zipfile.ZipInfo:
    try:
        entry = archive.getinfo(name)
    except KeyError:
        inside = next((other for other in archive.namelist() if other.endswith(f"/{name}")), None)
        if inside is not None and name == NAME:
            raise InputError(
                f"{file}: was packed with its folder, as '{inside:.80}'; pack what is in the folder, or give the folder"
            ) from None
        raise InputError(f"{file}: member '{name}' is missing; is it a bundle of histoweave?") from None
    if entry.flag_bits & 1:
        raise InputError(f"{file}: member '{name}' is encrypted; give a bundle without a password")
    if entry.compress_type not in _METHODS:
        raise InputError(f"{file}: member '{name}' is compressed in a form that is not read; pack it with 'deflate'")
    return entry


def _check_sizes(archive: zipfile.ZipFile, manifest: Manifest, file: Path) -> None:
    stated = sum(_entry(archive, name, file).file_size for name in manifest.files)
    limit = SMALL_BYTES + MAX_RATIO * file.stat().st_size
    if stated > limit:
        raise InputError(
            f"{file}: would unpack to {stated / 1e9:.1f} GB, more than a bundle of its size can; use another bundle"
        )


def _blocks(archive: zipfile.ZipFile, name: str, file: Path) -> Iterator[bytes]:
    """The bytes of a member, a block at a time, and never more than it states; a damaged one counts as changed."""
    entry = _entry(archive, name, file)
    try:
        with archive.open(entry) as member:
            while block := member.read(_BLOCK_BYTES):
                yield block
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"{file}: member '{name}' is damaged ({error}); copy the bundle again") from None


def _unpack(archive: zipfile.ZipFile, name: str, file: Path, target: Path) -> str:
    """Write a member to `target`; the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            for block in _blocks(archive, name, file):
                digest.update(block)
                out.write(block)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be unpacked into {tempfile.gettempdir()}: {error.strerror}; fix this, or set TMPDIR"
        ) from None
    return digest.hexdigest()
