"""The simulated slides of a shard: one process, each slide its own files and record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from histoweave.errors import InputError
from histoweave.settings.cohorts import Simulate
from histoweave.simulate.slide import write_slide
from histoweave.storage.records import Outcome, Record
from histoweave.storage.refusal import OK
from histoweave.storage.shards import SlideWork, run_shard


def simulate_shard(slides: Iterable[dict[str, Any]], *, index: Path, code: str) -> list[Record]:
    """Draw the slides of a shard that are not there yet, and write its index.

    Parameters
    ----------
    slides : the arguments of `simulate.slide.write_slide` for each, besides its files; `settings` as plain values.
    index : `simulated/shards/<shard>.json`; slides go to `simulated/slides/`, their truth to `simulated/truth/`.
    code : fingerprint of the code that decides the result.

    Raises
    ------
    InputError
        as `storage.shards.run_shard`.
    """
    folder = index.parents[1]
    works = [_work(slide, folder=folder, code=code) for slide in slides]
    return run_shard(works, index=index, on_error="stop")


def _work(given: dict[str, Any], *, folder: Path, code: str) -> SlideWork:
    slide = given["slide"]
    files = folder / "slides" / f"{slide}.tiff", folder / "truth" / f"{slide}.parquet"

    def run() -> Outcome:
        write_slide(*files, **given | {"settings": Simulate.handed_over(given["settings"])})
        return Outcome(OK)

    def refuse(status: str, reason: str) -> NoReturn:
        raise InputError(f"slide '{slide}': {reason}")

    return SlideWork(
        slide=slide, inputs={"given": given, "code": code}, sources=(), files=files, run=run, refuse=refuse
    )
