"""Many slides in one job, each slide still its own artefact: who is in which shard, and the work on it.

A shard's job writes the files of each slide when that slide is finished, then the slide's record, and last the shard's
index, which is all that Snakemake declares. A job that is killed keeps what it finished; a job that is run again works
on those slides only whose record is missing, out of date or names files that are gone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from histoweave.errors import InputError
from histoweave.settings.base import OnError
from histoweave.storage.files import write_json
from histoweave.storage.records import PASSING, Outcome, Record, known_record, record_path
from histoweave.storage.refusal import FAILED, OK, plain_line
from histoweave.storage.sources import source, source_stamp

logger = logging.getLogger(__name__)

# Reasons that lie with the machine, not with the file: a later run tries again by itself, so many times.
_OF_THE_MACHINE = (
    "MemoryError", "out of memory",
    *map(os.strerror, (errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN)),
)  # fmt: skip
_MOST_TRIES = 2


def shards_of(slides: Iterable[str], *, slides_per_shard: int) -> dict[str, list[str]]:
    """Slide ids by shard, sorted; a shard's name is such as `03-of-16`.

    The number of shards is a power of two and a slide's place depends on its id alone, so a slide that is added
    touches one shard only, unless the number of shards has to double.
    """
    ids = sorted(slides)
    n_shards = 1
    while n_shards * slides_per_shard < len(ids):
        n_shards *= 2
    digits = len(str(n_shards))
    found: dict[str, list[str]] = {}
    for slide in ids:
        number = int.from_bytes(hashlib.sha256(slide.encode()).digest()[:8], "big") % n_shards
        found.setdefault(f"{number:0{digits}d}-of-{n_shards}", []).append(slide)
    return dict(sorted(found.items()))


def fingerprint(**what: Any) -> str:
    """16 hex digits over everything that decides a slide's result, given as plain values."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SlideWork:
    """One slide of a shard.

    Attributes
    ----------
    inputs: everything that decides the result, as plain values (see `fingerprint`).
    sources: files of the user that are read; their stamps decide too.
    files: what `run` writes, below the folder that holds `shards/`.
    run: does the work; returns the outcome after all files are whole.
    refuse: writes the same files for a slide on which `run` failed unexpectedly, given a status and a reason.
    stands: whether an outcome is also that of settings that are no inputs (a limit that only some slides come near).
    refused_before: an earlier stage refused the slide, so trying again here is of no use.
    """

    slide: str
    inputs: dict[str, Any]
    sources: tuple[str, ...]
    files: tuple[Path, ...]
    run: Callable[[], Outcome]
    refuse: Callable[[str, str], Outcome]
    stands: Callable[[Outcome], bool] = lambda outcome: True
    refused_before: bool = False


def run_shard(
    works: Sequence[SlideWork],
    *,
    index: Path,
    on_error: OnError,
    workers: int = 1,
    prepare: Callable[[], None] = lambda: None,
) -> list[Record]:
    """Work on all slides that are not done yet, and write the shard's index.

    A slide on which the work fails unexpectedly gets the status `failed` and its reason. A slide whose files cannot be
    written (a full disk, a read-only folder) leaves no record; the others are worked on all the same, then the shard
    ends with an error.

    Parameters
    ----------
    index: `<folder of the slides' files>/shards/<shard>.json`.
    on_error: `stop` ends the shard at the first slide whose status is not `ok`.
    workers: slides that are worked on at the same time.
    prepare: called once if there is a slide to work on, before the first; what it raises ends the shard.

    Raises
    ------
    InputError
        if a slide could not be written, or with `on_error="stop"`; finished slides are kept.
    """
    folder = index.parents[1]
    keys = {work.slide: _key(work) for work in works}
    found = {work.slide: _done(folder, work, keys[work.slide]) for work in works}
    if on_error == "stop":
        for record in filter(None, found.values()):
            if record.outcome.status != OK:
                reason = f"{record.outcome.status}: {record.outcome.reason}"
                raise InputError(f"slide '{record.slide}': {reason} (on_error is 'stop')")
    pending = [work for work in works if found[work.slide] is None]
    logger.info("shard %s: %d slides, %d to process", index.stem, len(works), len(pending))
    if pending:
        prepare()

    stopped = threading.Event()

    def one(work: SlideWork) -> Record | InputError:
        if stopped.is_set():
            return InputError(f"slide '{work.slide}' was not begun")
        try:
            return _work_on(work, key=keys[work.slide], folder=folder, on_error=on_error)
        except Exception as error:
            if on_error == "stop" or not isinstance(error, InputError):
                stopped.set()
                raise
            _say(f"{work.slide}: not written: {error}")
            return error

    with ThreadPoolExecutor(max(1, workers)) as pool:
        results = list(pool.map(one, pending))
    unwritten = [(work.slide, result) for work, result in zip(pending, results, strict=True) if not _is_record(result)]
    if unwritten:
        slide, problem = unwritten[0]
        raise InputError(
            f"{len(unwritten)} of {len(works)} slides of shard {index.stem} could not be written, first '{slide}': "
            f"{problem}; the others are kept"
        )
    records = [*filter(None, found.values()), *filter(_is_record, results)]
    records.sort(key=lambda record: record.slide)
    write_json(index, [asdict(record) for record in records])
    return records


def _is_record(result: Record | InputError) -> TypeGuard[Record]:
    return isinstance(result, Record)


def _key(work: SlideWork) -> str:
    return fingerprint(inputs=work.inputs, sources={path: source_stamp(path) for path in work.sources})


def _done(folder: Path, work: SlideWork, key: str) -> Record | None:
    """The record of a slide that needs no work, None otherwise."""
    record = known_record(record_path(folder, work.slide))
    if record is None:
        return None
    lasts = (record.outcome.status not in PASSING or work.refused_before) and work.stands(record.outcome)
    return record if record.fingerprint == key and lasts and record.holds(folder) else None


def _work_on(work: SlideWork, *, key: str, folder: Path, on_error: OnError) -> Record:
    place = record_path(folder, work.slide)
    before = known_record(place)
    place.unlink(missing_ok=True)
    sources = {path: source(path) for path in work.sources}
    looks = {path: [found.changed_ns, found.look()] for path, found in sources.items()}
    started = time.monotonic()
    try:
        outcome = work.run()
    except InputError:
        raise
    except Exception as error:
        if on_error == "stop":
            raise
        traceback.print_exc()
        outcome = work.refuse(FAILED, plain_line(f"{type(error).__name__}: {error}"))
    record = Record(
        slide=work.slide,
        outcome=outcome,
        sources={path: found.stamp for path, found in sources.items()},
        looks=looks,
        files={file.relative_to(folder).as_posix(): file.stat().st_size for file in work.files},
        seconds=round(time.monotonic() - started, 3),
        fingerprint=key,
        tries_left=0 if work.refused_before else _tries_left(outcome, before),
    )
    write_json(place, asdict(record))
    return record


def _tries_left(outcome: Outcome, before: Record | None) -> int:
    """After an outcome that may be another in a later run; fewer each time that it comes again."""
    if outcome.status not in (FAILED, "unreadable") or not any(words in outcome.reason for words in _OF_THE_MACHINE):
        return 0
    if before is not None and (before.outcome.status, before.outcome.reason) == (outcome.status, outcome.reason):
        return max(0, before.tries_left - 1)
    return _MOST_TRIES


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the log may lie on the same full disk
        logger.error(text)
