"""What `fingerprint` found out about the content of modules, kept between runs in the user's cache folder.

Parsing some three hundred modules takes two seconds of each start of Snakemake, of each job on a cluster too. Entries are found
by the content of a module, so a changed file is never taken for what it was. Losing the file costs the two seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path

_MOST = 5000  # entries; the oldest go first

Entry = tuple[frozenset[str], bytes]


def cache_file() -> Path:
    """Where they are kept: `histoweave/modules.json` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "histoweave" / "modules.json"


class KeptHashes:
    """Entries by key: what a module imports, and its hash (32 bytes). A file that cannot be read or written is done without."""

    def __init__(self, path: Path):
        self._path, self._new = path, False
        self._entries: dict[str, list] = {}
        with contextlib.suppress(OSError, ValueError, RecursionError):
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                self._entries = {key: entry for key, entry in found.items() if _is_entry(entry)}

    def get(self, key: str) -> Entry | None:
        """The entry of a key, if there is one."""
        if (entry := self._entries.get(key)) is None:
            return None
        return frozenset(entry[0]), bytes.fromhex(entry[1])

    def add(self, key: str, entry: Entry) -> None:
        """Keep an entry, see `save`."""
        self._entries[key], self._new = [sorted(entry[0]), entry[1].hex()], True

    def save(self) -> None:
        """Write the file where entries have been added."""
        if not self._new:
            return
        self._new = False
        text = json.dumps(dict(list(self._entries.items())[-_MOST:]))
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_text(text, encoding="utf-8")
                os.replace(temporary, self._path)
            finally:
                temporary.unlink(missing_ok=True)


def _is_entry(entry: object) -> bool:
    """[names, 64 hex digits]"""
    if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list) and isinstance(entry[1], str)):
        return False
    digits = len(entry[1]) == 64 and all(digit in "0123456789abcdef" for digit in entry[1])
    return digits and all(isinstance(name, str) for name in entry[0])
