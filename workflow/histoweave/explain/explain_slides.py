"""Overlays and QuPath files of many slides: one process, each slide its own files and records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.explain.geojson import write_scores
from histoweave.explain.overlay import draw, frame_px, write_rgba
from histoweave.slides.store import TileTable, read_tiles
from histoweave.storage.pictures import open_picture
from histoweave.storage.records import Outcome, read_index
from histoweave.storage.shards import SlideWork, run_shard

_SUFFIXES = {"overlays": "png", "geojson": "geojson"}
# Thumbnails of these show the slide itself; of other sources they are a montage or a text.
_WITH_THUMBNAIL = ("slide", "coords_file")


def explained_tiles(tiles: pd.DataFrame, called: Mapping[str, str], *, slides: list[str]) -> pd.DataFrame:
    """`slide`, `x_lv0`, `y_lv0`, `attention`, `attribution` of some slides, and `limit`.

    Parameters
    ----------
    tiles : `patient`, `slide`, `x_lv0`, `y_lv0`, `attention`, `a_<class>` of all folds.
    called : class of each patient that the model called, whose attribution is shown.

    `limit` is the largest magnitude over all slides of the patient, so that they share one scale of colours.
    """
    tiles = tiles[tiles["patient"].isin(set(tiles.loc[tiles["slide"].isin(slides), "patient"]))]
    own = tiles["patient"].map(called)
    attribution = pd.Series(np.nan, index=tiles.index)
    for name in own.unique():
        attribution[own == name] = tiles.loc[own == name, f"a_{name}"]
    table = tiles[["slide", "x_lv0", "y_lv0", "attention"]].assign(attribution=attribution)
    table["limit"] = attribution.abs().groupby(tiles["patient"]).transform("max")
    return table[table["slide"].isin(slides)]


def explain_slides(tiles: pd.DataFrame, *, folder: Path, shard: str, tiles_index: Path, code: str) -> None:
    """Write overlay and GeoJSON of the slides of a shard that a model was explained on, and the shard's two indexes.

    Parameters
    ----------
    tiles : as `explained_tiles` returns it.
    folder : `explain/<model>/`; files go to `overlays/` and `geojson/` in it.
    tiles_index : of the same shard of the tiling stage.
    code : fingerprint of the code that decides the result.

    Raises
    ------
    InputError
        as `storage.shards.run_shard`.
    """
    tiled = {record.slide: record.outcome.content for record in read_index(tiles_index)}
    rows = dict(iter(tiles.groupby("slide")))
    writers: dict[str, Callable] = {"overlays": _write_overlay, "geojson": _write_geojson}
    for kind, write in writers.items():
        works = [
            _work(
                slide,
                rows[slide],
                out=folder / kind / f"{slide}.{_SUFFIXES[kind]}",
                tiles_h5=tiles_index.parents[1] / f"{slide}.h5",
                write=write,
                inputs={"tiles": content, "code": code},
            )
            for slide, content in tiled.items()
            if slide in rows
        ]
        run_shard(works, index=folder / kind / "shards" / f"{shard}.json", on_error="continue")


def _work(slide: str, rows: pd.DataFrame, *, out: Path, tiles_h5: Path, write: Callable, inputs: dict) -> SlideWork:
    numbers = rows.drop(columns="slide").to_numpy(np.float64)

    def run() -> Outcome:
        write(out, rows, read_tiles(tiles_h5), tiles_h5.with_suffix(".png"))
        return Outcome("ok", n_tiles=len(rows))

    def refuse(status: str, reason: str) -> Outcome:
        raise InputError(f"slide '{slide}': its explanation cannot be written: {reason}")

    scores = hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()
    return SlideWork(slide, inputs={**inputs, "scores": scores}, sources=(), files=(out,), run=run, refuse=refuse)


def _write_overlay(out: Path, rows: pd.DataFrame, table: TileTable, thumbnail: Path) -> None:
    edge_lv0, size_lv0 = _geometry(rows, table)
    size_px = frame_px(size_lv0)
    if table.source in _WITH_THUMBNAIL:
        with open_picture(thumbnail) as picture:
            size_px = picture.size
    overlay = draw(
        rows[["x_lv0", "y_lv0"]].to_numpy(),
        rows["attribution"].to_numpy(),
        edge_lv0=edge_lv0,
        size_lv0=size_lv0,
        size_px=size_px,
        limit=rows["limit"].iloc[0],
    )
    write_rgba(out, overlay)


def _write_geojson(out: Path, rows: pd.DataFrame, table: TileTable, thumbnail: Path) -> None:
    edge_lv0, _ = _geometry(rows, table)
    write_scores(
        out, rows[["x_lv0", "y_lv0", "attention", "attribution"]], edge_lv0=edge_lv0, origin_lv0=table.origin_lv0
    )


def _geometry(rows: pd.DataFrame, table: TileTable) -> tuple[int, tuple[int, int]]:
    """Edge of a tile and size (width, height) of the slide in level-0 px; of features made elsewhere, of all tiles."""
    edge_lv0 = max(1, int(table.attributes["patch_size_level0"]))
    size_lv0 = int(table.attributes["level0_width"]), int(table.attributes["level0_height"])
    if min(size_lv0) < 1:
        size_lv0 = int(rows["x_lv0"].max()) + edge_lv0, int(rows["y_lv0"].max()) + edge_lv0
    return edge_lv0, size_lv0
