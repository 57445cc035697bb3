"""Opening a bundle: a zip or its unpacked folder, every member held against its hash before anything is read."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from histoweave.apply.manifest import NAME, Manifest, parse
from histoweave.errors import InputError
from histoweave.io import sha256_of


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
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"apply.bundle '{path}' is not there; give a bundle.zip, or its unpacked folder with {NAME}")
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
        return parse(file.read_bytes(), where=str(file.parent))
    with _zip(file) as archive:
        return parse(_member(archive, NAME, file), where=str(file))


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Bundle]:
    """Check every member of a bundle against its hash, and lend its folder (of a zip: a temporary one).

    Raises
    ------
    InputError
        naming the first member that is missing or has other bytes.
    """
    file = bundle_file(path)
    manifest = read_manifest(file)
    if file.name == NAME:
        for name, sha256 in sorted(manifest.files.items()):
            if not (file.parent / name).is_file():
                raise InputError(f"{file.parent}: member '{name}' is missing; copy the bundle again")
            _check(sha256_of(file.parent / name), sha256, name, file.parent)
        yield Bundle(file.parent, manifest)
        return
    with _zip(file) as archive, tempfile.TemporaryDirectory(prefix="histoweave-bundle-") as folder:
        for name, sha256 in sorted(manifest.files.items()):
            data = _member(archive, name, file)
            _check(hashlib.sha256(data).hexdigest(), sha256, name, file)
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        yield Bundle(Path(folder), manifest)


def _check(found: str, stated: str, name: str, bundle: Path) -> None:
    if found != stated:
        raise InputError(
            f"{bundle}: member '{name}' has other bytes than when the bundle was made (SHA-256 {found[:12]}, stated "
            f"{stated[:12]}); copy the bundle again"
        )


def _zip(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{file}: cannot be opened as a zip ({error}); copy the bundle again") from None


def _member(archive: zipfile.ZipFile, name: str, file: Path) -> bytes:
    """The bytes of a member. A damaged one counts as changed, whatever the archive's own checksum says."""
    try:
        return archive.read(name)
    except KeyError:
        raise InputError(f"{file}: member '{name}' is missing; is it a bundle of histoweave?") from None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{file}: member '{name}' is damaged ({error}); copy the bundle again") from None
