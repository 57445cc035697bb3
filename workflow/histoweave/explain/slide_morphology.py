"""The chosen tiles of many slides, looked at again: each slide its own file and record."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from histoweave.explain.morphology_file import SlideMorphology, no_tiles, write_morphology
from histoweave.explain.tile_measures import as_bytes, measure, nuclear_threshold, stains
from histoweave.slides.store import TileTable, read_tiles
from histoweave.slides.tile_reader import TileReader
from histoweave.storage.pictures import resize
from histoweave.storage.records import Outcome, Record, read_index
from histoweave.storage.refusal import OK, Refusal
from histoweave.storage.shards import SlideWork, run_shard

logger = logging.getLogger(__name__)

NO_PIXELS = "no_pixels"
PICTURE_PX, PICTURE_BYTES = 96, 4000
# Edge in px and WebP quality: the first that fits is taken, the last whatever it needs.
_LADDER = ((PICTURE_PX, 75), (PICTURE_PX, 50), (PICTURE_PX, 25), (PICTURE_PX, 5), (48, 5))


def look_at_slides(
    chosen: pd.DataFrame,
    *,
    paths: Mapping[str, str],
    explained: set[str],
    folder: Path,
    shard: str,
    tiles_index: Path,
    code: str,
) -> list[Record]:
    """Measure the chosen tiles of the slides of a shard, and write `morphology/` and the shard's index in `folder`.

    A slide whose pixels are not at hand is written without rows, with the reason.

    Parameters
    ----------
    chosen : as `tile_choice.chosen_tiles` returns it.
    paths : file of each slide; empty without one. explained : slides that the model was explained on.
    folder : `explain/<model>/`. tiles_index : of the same shard of the tiling stage.
    code : fingerprint of the code that decides the result.

    Raises
    ------
    InputError
        as `storage.shards.run_shard`.
    """
    tiled = {record.slide: record.outcome.content for record in read_index(tiles_index)}
    rows = dict(iter(chosen.groupby("slide")))
    works = [
        _work(
            slide,
            rows.get(slide, chosen.iloc[:0]),
            path=paths[slide],
            tiles_h5=tiles_index.parents[1] / f"{slide}.h5",
            out=folder / "morphology" / f"{slide}.h5",
            inputs={"tiles": content, "code": code},
        )
        for slide, content in tiled.items()
        if slide in explained
    ]
    return run_shard(works, index=folder / "morphology" / "shards" / f"{shard}.json", on_error="continue")


def _work(slide: str, rows: pd.DataFrame, *, path: str, tiles_h5: Path, out: Path, inputs: dict) -> SlideWork:
    def run() -> Outcome:
        try:
            tiles = look(rows, path=path, table=read_tiles(tiles_h5))
        except Refusal as refusal:
            return refuse(refusal.status, refusal.reason)
        write_morphology(out, SlideMorphology(slide, tiles))
        return Outcome(OK, n_tiles=len(tiles), n_failed_tiles=len(rows) - len(tiles))

    def refuse(status: str, reason: str) -> Outcome:
        logger.warning("%s: no morphology: %s", slide, reason)
        write_morphology(out, SlideMorphology(slide, no_tiles(), status, reason))
        return Outcome(status, reason)

    numbers = rows.drop(columns=["patient", "class", "slide"]).to_numpy(np.float64)
    scores = hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()
    sources = (path,) if path else ()
    return SlideWork(slide, inputs={**inputs, "scores": scores}, sources=sources, files=(out,), run=run, refuse=refuse)


def look(rows: pd.DataFrame, *, path: str, table: TileTable) -> pd.DataFrame:
    """The tiles of `rows` with their measures and pictures (see `SlideMorphology`); unreadable ones are left out.

    Tiles are read as for the features, at the spacing that they were cut for and in the size that they have there, and
    one by one: they lie scattered. All have to be held, since one threshold serves them all; 50 of 1,024 px take
    200 MB.

    Parameters
    ----------
    rows : `x_lv0`, `y_lv0`, `attribution`, `z`, `leading`, `trailing`, `sampled` of one slide.
    path : the slide, or the folder of its tiles. table : of all its tiles.

    Raises
    ------
    Refusal
        `no_pixels` for features made elsewhere; `missing_file` or `unreadable`, if the slide cannot be opened.
    """
    if table.source == "features_file" or not path:
        raise Refusal(NO_PIXELS, "its features come from another program, so no pixels are available")
    if rows.empty:
        return no_tiles()
    images = _read(rows, path=path, table=table)
    seen = rows.drop(columns=["patient", "class", "slide"], errors="ignore").loc[list(images)]
    if seen.empty:
        return no_tiles()
    threshold = nuclear_threshold([as_bytes(stains(image)[..., 0]) for image in images.values()])
    mpp = float(table.attributes["target_mpp"])
    measured = pd.DataFrame(
        [measure(images[row], mpp=mpp, threshold=threshold) for row in seen.index], index=seen.index
    )
    shown = seen["leading"] | seen["trailing"]
    pictures = [small_picture(images[row]) if shown[row] else b"" for row in seen.index]
    return seen.join(measured).assign(picture=pictures).reset_index(drop=True)


def _read(rows: pd.DataFrame, *, path: str, table: TileTable) -> dict[int, np.ndarray]:
    """Index of a row → its tile as (E,E,3) uint8 RGB, of all that can be read."""
    row_of = {tuple(corner): row for row, corner in enumerate(table.coords.tolist())}
    edge_px = int(table.attributes["patch_size"])
    images = {}
    with TileReader(path=Path(path), tiles=table, edge_px=edge_px, interpolation="bicubic") as reader:
        for tile in rows.itertuples():
            (image,), (readable,) = reader.read(np.array([row_of[tile.x_lv0, tile.y_lv0]]))
            if readable:
                images[tile.Index] = image
    return images


def small_picture(rgb: np.ndarray) -> bytes:
    """A tile as WebP of at most `PICTURE_PX` px and `PICTURE_BYTES` bytes."""
    encoded = b""
    for edge_px, quality in _LADDER:
        edge_px = min(edge_px, len(rgb))
        buffer = io.BytesIO()
        small = Image.fromarray(resize(rgb, width=edge_px, height=edge_px))
        small.save(buffer, format="WEBP", quality=quality, method=4)
        encoded = buffer.getvalue()
        if len(encoded) <= PICTURE_BYTES:
            break
    return encoded
