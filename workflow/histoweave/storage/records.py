"""Records of slides that are done, and the index of a shard: who is done, what went wrong, and whether it is still true."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from histoweave.errors import InputError
from histoweave.settings.base import OnError
from histoweave.storage.files import read_json
from histoweave.storage.refusal import FAILED, OK
from histoweave.storage.sources import source

# A slide with one of these is tried again whenever its shard's job runs.
PASSING = (FAILED, "missing_file", "unreadable")


@dataclass(frozen=True)
class Outcome:
    """What working on a slide gave: its status and reason, a hash of its content, its tiles and those that failed."""

    status: str
    reason: str = ""
    content: str = ""
    n_tiles: int = 0
    n_failed_tiles: int = 0


@dataclass(frozen=True)
class Record:
    """That a slide is done.

    Attributes
    ----------
    sources: `Source.stamp` by path. looks: `Source.changed_ns` and `Source.look()` by path.
    files: bytes by name. seconds: how long it took.
    tries_left: how many more runs try again by themselves, though nothing of the user's has changed.
    """

    slide: str
    outcome: Outcome
    sources: dict[str, list[int] | None]
    files: dict[str, int]
    seconds: float = 0.0
    fingerprint: str = field(default="", compare=False)
    looks: dict[str, list[int]] = field(default_factory=dict)
    tries_left: int = 0

    def holds(self, folder: Path) -> bool:
        """True if the slide's files are there in their full size and its sources are those that were read."""
        try:
            whole = all((folder / name).stat().st_size == size for name, size in self.files.items())
        except OSError:
            return False
        return whole and all(self._is_as_it_was(path) for path in self.sources)

    def _is_as_it_was(self, path: str) -> bool:
        now = source(path)
        if now.stamp != self.sources[path]:
            return False
        changed_ns, look = self.looks.get(path, (now.changed_ns, None))  # records of earlier versions have none
        # What could not be read may be readable now though nothing about the file has changed.
        is_in_doubt = now.changed_ns != changed_ns or self.outcome.status in PASSING
        return look is None or not is_in_doubt or now.look() == look


_RECORD = TypeAdapter(Record)


def _record(content: Any) -> Record:
    """ValueError or TypeError if it is none, or one of a later version."""
    record = Record(**{**content, "outcome": Outcome(**content["outcome"])})
    _RECORD.validate_python(asdict(record))
    return record


def read_index(path: str | os.PathLike) -> list[Record]:
    """The records of a shard.

    Raises
    ------
    InputError
        if the file is damaged, or of another version.
    """
    try:
        content = read_json(path)
        if not isinstance(content, list):
            raise ValueError("no list of records")
        return [_record(one) for one in content]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path} is damaged, or was written by another version; delete it, and run again") from error


def known_record(place: Path) -> Record | None:
    """The record of a slide; None without one, or where it is damaged or of another version."""
    try:
        return _record(read_json(place))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def artefacts(indexes: Iterable[str | os.PathLike]) -> dict[str, str]:
    """Slide → its HDF5 file, for all slides of some shards."""
    paths = [Path(index) for index in indexes]
    return {record.slide: str(path.parents[1] / f"{record.slide}.h5") for path in paths for record in read_index(path)}


def record_path(folder: Path, slide: str) -> Path:
    """Where the record of a slide lies, whose files are in `folder`."""
    return folder / "records" / f"{slide}.json"


def untrue_indexes(paths: Iterable[Path], *, on_error: OnError = "continue") -> dict[Path, list[str]]:
    """Each shard's index that promises what is no longer there, and the slides concerned; their shards are to be made
    again (see `wiring.planning.Plan`).

    An index that is damaged counts as promising nothing, under the shard's name. So do slides that failed for a reason
    of the machine, such as memory, as long as they have tries left. With `on_error="stop"` also those of shards that hold
    a slide that cannot be used, so that their jobs end the run. Snakemake knows of the indexes only.
    """

    def is_true(record: Record, path: Path) -> bool:
        usable = record.outcome.status == OK or on_error == "continue"
        return usable and not record.tries_left and record.holds(path.parents[1])

    def untrue(path: Path) -> list[str]:
        try:
            records = read_index(path)
        except InputError:
            return [path.stem]
        return [record.slide for record in records if not is_true(record, path)]

    lost = {path: untrue(path) for path in paths if path.is_file()}
    return {path: slides for path, slides in lost.items() if slides}
