"""What a shard of cells was made from, so that a later run sees other content in files of the same size and time.

Sizes and times of a shard's files are parameters of its job. What they do not tell is noted beside the shard when it is
done: when the system last changed anything about a file, and a hash of its content, which is compared only where that
moved.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from histoweave.storage.files import read_json, write_json
from histoweave.storage.sources import source


def notes_path(tokens: str | os.PathLike) -> Path:
    """Where it is noted what the token file of a shard was made from."""
    tokens = Path(tokens)
    return tokens.parent / "sources" / f"{tokens.stem}.json"


def look_at(paths: Iterable[str]) -> dict[str, list[int]]:
    """`Source.changed_ns` and `Source.look()` by path, to be taken before the files are read."""
    seen = {path: source(path) for path in paths}
    return {path: [found.changed_ns, found.look()] for path, found in seen.items()}


def note(tokens: str | os.PathLike, looks: Mapping[str, list[int]]) -> None:
    """Note, after the token file is whole, what it was made from."""
    write_json(notes_path(tokens), dict(looks))


def changed_since(token_files: Iterable[Path]) -> dict[Path, list[str]]:
    """Token file → the files whose content is another than it was made from; token files without such are left out.

    A token file that is not there, or has no notes, counts as unchanged.
    """
    now = functools.cache(source)

    @functools.cache  # shards may lie in one archive
    def content(path: str) -> int:
        return now(path).look()

    def is_changed(path: str, changed_ns: int, seen: int) -> bool:
        return now(path).changed_ns != changed_ns and content(path) != seen

    found = {
        tokens: [path for path, (changed_ns, seen) in _noted(tokens).items() if is_changed(path, changed_ns, seen)]
        for tokens in token_files
        if tokens.is_file()
    }
    return {tokens: paths for tokens, paths in found.items() if paths}


def _noted(tokens: Path) -> dict[str, tuple[int, int]]:
    try:
        notes = read_json(notes_path(tokens))
        return {str(path): (int(changed_ns), int(seen)) for path, (changed_ns, seen) in notes.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
