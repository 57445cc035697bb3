"""The tiling stage of many slides: one process, each slide its own files and record."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from histoweave.settings.base import OnError
from histoweave.settings.tiles import Tiles
from histoweave.slides.store import read_tiles
from histoweave.storage.records import Outcome, Record
from histoweave.storage.shards import SlideWork, run_shard
from histoweave.tiles.slide import refuse_slide, tile_slide

logger = logging.getLogger(__name__)


def tile_shard(
    slides: Iterable[dict[str, Any]],
    *,
    index: Path,
    settings: Tiles,
    on_error: OnError,
    code: str,
    workers: int,
) -> list[Record]:
    """Tile the slides of a shard that are not done, and write its index.

    Parameters
    ----------
    slides: `slide`, `path`, `mpp`, `coords` and `features` of each, as `tile_slide` takes them.
    index: `tiles/shards/<shard>.json`; the slides' files go to `tiles/`.
    code: fingerprint of the code that decides the result.
    workers: slides that are worked on at the same time.

    Raises
    ------
    InputError
        as `storage.shards.run_shard`.
    """
    folder = index.parents[1]
    works = [_work(slide, folder=folder, settings=settings, on_error=on_error, code=code) for slide in slides]
    records = run_shard(works, index=index, on_error=on_error, workers=workers)
    for record in records:
        logger.info("%s: %s %s (%.1f s)", record.slide, record.outcome.status, record.outcome.reason, record.seconds)
    return records


def _work(given: dict[str, Any], *, folder: Path, settings: Tiles, on_error: OnError, code: str) -> SlideWork:
    slide = given["slide"]
    files = {form: folder / f"{slide}.{form}" for form in ("h5", "geojson", "png")}
    out: dict[str, Any] = {"out_h5": files["h5"], "out_geojson": files["geojson"], "out_png": files["png"]}

    def run() -> Outcome:
        tile_slide(**given, settings=settings, on_error=on_error, **out)
        return _outcome(files["h5"])

    def refuse(status: str, reason: str) -> Outcome:
        refuse_slide(slide=slide, settings=settings, status=status, reason=reason, **out)
        return _outcome(files["h5"])

    return SlideWork(
        slide=slide,
        inputs={"given": given, "settings": settings.model_dump(), "code": code},
        sources=tuple(given[key] for key in ("path", "coords", "features") if given[key]),
        files=tuple(files.values()),
        run=run,
        refuse=refuse,
    )


def _outcome(tiles_h5: Path) -> Outcome:
    tiles = read_tiles(tiles_h5)
    return Outcome(tiles.status, tiles.reason, content=tiles.sha256(), n_tiles=len(tiles.coords))
