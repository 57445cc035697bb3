"""What `syntax` read in modules, kept between runs in the user's cache folder.

Parsing some three hundred modules takes two seconds of each start of Snakemake, of each job on a cluster too. Entries are found
by the content of a module, so a changed file is never taken for what it was. Losing the file costs the two seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path

from histoweave.wiring.syntax import Source

_MOST = 5000  # entries; the oldest go first


def cache_file() -> Path:
    """Where they are kept: `histoweave/modules.json` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "histoweave" / "modules.json"


class KeptHashes:
    """Sources by key. A file that cannot be read or written is done without."""

    def __init__(self, path: Path):
        self._path, self._new = path, False
        self._entries: dict[str, list] = {}
        with contextlib.suppress(OSError, ValueError, RecursionError):
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                self._entries = {key: entry for key, entry in found.items() if _is_entry(entry)}

    def get(self, key: str) -> Source | None:
        """What is kept under a key, if there is something."""
        if (entry := self._entries.get(key)) is None:
            return None
        digest, *names = entry
        return Source(bytes.fromhex(digest), *(tuple(map(tuple, part)) for part in names))

    def add(self, key: str, source: Source) -> None:
        """Keep a source, see `save`."""
        self._entries[key], self._new = [source.digest.hex(), source.used, source.unused], True

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
    """[64 hex digits, pairs of names, pairs of names]"""
    if not (isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str)):
        return False
    digits = len(entry[0]) == 64 and all(digit in "0123456789abcdef" for digit in entry[0])
    return digits and all(isinstance(part, list) and all(map(_is_pair, part)) for part in entry[1:])


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)
