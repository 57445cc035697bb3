"""The feature stage of many slides: one process, one network, each slide its own file and record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import h5py

from histoweave.encoders.inference import Arithmetic, TileEncoder
from histoweave.encoders.loading import load
from histoweave.features.slide import adopt, extract, refuse, too_many_failed
from histoweave.mechanics.device import resolve_device
from histoweave.settings.base import OnError
from histoweave.settings.encoder import Encoder
from histoweave.settings.tiles import Tiles
from histoweave.storage.records import Outcome, Record, read_index
from histoweave.storage.refusal import OK
from histoweave.storage.shards import SlideWork, run_shard
from histoweave.storage.sources import source_stamp


def extract_shard(
    slides: Sequence[dict[str, Any]],
    *,
    index: Path,
    tiles_index: Path,
    encoder: Encoder,
    arithmetic: Arithmetic,
    tiles: Tiles,
    precision: Literal["float32", "float16"],
    on_error: OnError,
    code: str,
    device: str,
    tile_batch: int,
    read_workers: int,
) -> list[Record]:
    """Extract the features of the slides of a shard that are not done, and write its index.

    Parameters
    ----------
    slides: `slide`, `path`, `mpp`, `coords` and `features` of each (see `wiring.tissue.Wiring.shard`).
    index: `features/<encoder>/shards/<shard>.json`; the slides' files go to `features/<encoder>/`.
    tiles_index: of the same shard's tiles. tiles: what features made elsewhere are checked against.
    code: fingerprint of the code that decides the result.
    The rest as `features.slide.extract` and `encoders.inference.TileEncoder` take it.

    Raises
    ------
    InputError
        as `storage.shards.run_shard`; for an encoder that cannot be loaded.
    """
    folder, tiles_folder = index.parents[1], tiles_index.parents[1]
    tiled = {record.slide: record.outcome for record in read_index(tiles_index)}
    loaded: list[TileEncoder] = []
    decides = {
        "precision": precision,
        "encoder": encoder.model_dump(mode="json"),
        "weights": [source_stamp(file) for file in encoder.files],
        "arithmetic": arithmetic,
        "code": code,
    }

    def prepare() -> None:
        if any(not given["features"] for given in slides):
            loaded.append(TileEncoder(load(encoder), device=resolve_device(device), arithmetic=arithmetic))

    def work(given: dict[str, Any]) -> SlideWork:
        slide, path, features = given["slide"], given["path"], given["features"]
        files = {"tiles_h5": tiles_folder / f"{slide}.h5", "out_h5": folder / f"{slide}.h5"}

        def run() -> Outcome:
            if features:
                adopt(slide=slide, features=features, mpp=given["mpp"], settings=tiles, on_error=on_error, **files)
            else:
                extract(
                    slide=slide,
                    path=path,
                    encoder=loaded[0],
                    on_error=on_error,
                    tile_batch=tile_batch,
                    read_workers=read_workers,
                    precision=precision,
                    max_failed_share=tiles.max_failed_share,
                    **files,
                )
            return _outcome(files["out_h5"])

        def give_up(status: str, reason: str) -> Outcome:
            refuse(status=status, reason=reason, **files)
            return _outcome(files["out_h5"])

        def stands(outcome: Outcome) -> bool:
            # Another limit of failed tiles changes those slides only that are now on its other side.
            if features or tiled[slide].status != OK or outcome.status not in (OK, "unreadable_tiles"):
                return True
            refused = too_many_failed(outcome.n_failed_tiles, tiled[slide].n_tiles, tiles.max_failed_share)
            return refused == (outcome.status != OK)

        return SlideWork(
            slide=slide,
            inputs=decides | {"given": given, "tiles": tiled[slide].content},
            sources=tuple(place for place in (path, features) if place),
            files=(files["out_h5"],),
            run=run,
            refuse=give_up,
            stands=stands,
            refused_before=tiled[slide].status != OK,
        )

    return run_shard([work(given) for given in slides], index=index, on_error=on_error, prepare=prepare)


def _outcome(path: Path) -> Outcome:
    with h5py.File(path) as file:
        attributes = file.attrs
        return Outcome(
            attributes["status"],
            attributes["reason"],
            content=attributes["features_sha256"],
            n_tiles=len(file["coords"]),
            n_failed_tiles=len(file["failed_coords"]),
        )
