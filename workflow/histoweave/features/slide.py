"""The feature stage of one slide: tiles read by µm per px become vectors, encoded by one network."""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Literal

import numpy as np

from histoweave.encoders.inference import TileEncoder
from histoweave.errors import InputError
from histoweave.features.file import FeatureFile
from histoweave.interop.features import given_features
from histoweave.mechanics.ahead import ahead
from histoweave.settings.base import OnError
from histoweave.settings.tiles import Tiles
from histoweave.slides.blocks import blocks_of
from histoweave.slides.spacing import UNKNOWN, Spacing
from histoweave.slides.store import TileTable, read_tiles
from histoweave.slides.tile_reader import TileReader
from histoweave.storage.files import atomic_path
from histoweave.storage.refusal import OK, Refusal

logger = logging.getLogger(__name__)


def extract(
    *,
    slide: str,
    path: str,
    tiles_h5: str | os.PathLike,
    out_h5: str | os.PathLike,
    encoder: TileEncoder,
    precision: Literal["float32", "float16"],
    max_failed_share: float,
    on_error: OnError,
    tile_batch: int,
    read_workers: int,
) -> str:
    """Encode the tiles of one slide and write `features/<encoder>/<slide>.h5` of `docs/artefacts.md`.

    A tile that cannot be read is left out and listed in `failed_coords`; with more than `max_failed_share`
    of them the slide is refused as `unreadable_tiles`. A slide that the tiling stage refused keeps its
    status and reason.

    Parameters
    ----------
    tile_batch, read_workers: tiles per forward pass and threads that read; they change the speed, and the result by
        float rounding at most.

    Returns
    -------
    The status.

    Raises
    ------
    InputError
        with `on_error="stop"` for a status other than `ok` (nothing is written then); for features that are not finite.
    """
    tiles = read_tiles(tiles_h5)
    status, reason = tiles.status, tiles.reason
    with atomic_path(out_h5) as temporary, _feature_file(temporary, tiles, encoder, precision) as file:
        if status == OK:
            try:
                with TileReader(
                    path=Path(path),
                    tiles=tiles,
                    edge_px=encoder.encoder.input_px,
                    interpolation=encoder.encoder.interpolation,
                ) as reader:
                    _encode(reader, tiles, encoder, file, tile_batch=tile_batch, read_workers=read_workers)
                _check_share(file.kept, max_failed_share, problem=reader.first_problem)
            except Refusal as refusal:
                status, reason = refusal.status, refusal.reason
            except FloatingPointError as error:
                raise InputError(
                    f"slide '{slide}': encoder '{encoder.encoder.name}' gives {error}; "
                    "set features.precision to 'float32', or check the weights"
                ) from None
        if status == OK:
            file.finish()
        elif on_error == "stop":
            raise InputError(f"slide '{slide}' ({path}): {status}: {reason} (on_error is 'stop')")
        else:
            file.refuse(status, reason)
    return status


def adopt(
    *,
    slide: str,
    features: str,
    mpp: float | None,
    tiles_h5: str | os.PathLike,
    out_h5: str | os.PathLike,
    settings: Tiles,
    on_error: OnError,
) -> str:
    """Take features that another tool made, in place of `extract`; the tiles of `tiles_h5` are those of that file.

    Raises
    ------
    InputError
        with `on_error="stop"` for a status other than `ok`.
    """
    tiles = read_tiles(tiles_h5)
    if tiles.status != OK:
        refuse(tiles_h5=tiles_h5, out_h5=out_h5, status=tiles.status, reason=tiles.reason)
        return tiles.status
    spacing = UNKNOWN if mpp is None else Spacing(mpp, mpp, "override")
    try:
        given = given_features(slide, Path(features), settings=settings, spacing=spacing)
    except Refusal as refusal:
        if on_error == "stop":
            raise InputError(f"slide '{slide}' ({features}): {refusal} (on_error is 'stop')") from None
        refuse(tiles_h5=tiles_h5, out_h5=out_h5, status=refusal.status, reason=refusal.reason)
        return refusal.status
    made_by = {key: value for key, value in given.encoder_attributes.items() if key not in ("name", "precision")}
    with (
        atomic_path(out_h5) as temporary,
        FeatureFile(temporary, tiles=tiles, dim=given.dim, precision=given.precision, attributes=made_by) as file,
    ):
        first = 0
        for block in given.blocks():
            file.put(np.arange(first, first + len(block)), block)
            first += len(block)
        file.finish(failed_before=given.failed_coords)
    return OK


def refuse(*, tiles_h5: str | os.PathLike, out_h5: str | os.PathLike, status: str, reason: str) -> None:
    """Write the feature file of a slide that cannot be used, for a reason that is known already."""
    tiles = read_tiles(tiles_h5)
    with (
        atomic_path(out_h5) as temporary,
        FeatureFile(temporary, tiles=tiles, dim=0, precision="float32", attributes={}) as file,
    ):
        file.refuse(status, reason)


def _feature_file(path: Path, tiles: TileTable, encoder: TileEncoder, precision: str) -> FeatureFile:
    loaded = encoder.encoder
    attributes = {
        "encoder": loaded.name,
        "weights_sha256": loaded.weights_sha256,
        "input_px": loaded.input_px,
        "mean": loaded.mean,
        "std": loaded.std,
        "arithmetic": encoder.arithmetic,
    }
    return FeatureFile(path, tiles=tiles, dim=loaded.dim, precision=precision, attributes=attributes)


def too_many_failed(n_failed: int, n_tiles: int, max_failed_share: float) -> bool:
    """Whether a slide with so many unreadable tiles is refused."""
    return n_failed > max_failed_share * n_tiles or n_failed == n_tiles


def _check_share(kept: np.ndarray, max_failed_share: float, *, problem: str) -> None:
    n_failed = int((~kept).sum())
    if too_many_failed(n_failed, len(kept), max_failed_share):
        raise Refusal(
            "unreadable_tiles",
            f"{n_failed} of {len(kept)} tiles cannot be read, over {max_failed_share:.0%}; the first: {problem}",
        )


def _encode(
    reader: TileReader, tiles: TileTable, encoder: TileEncoder, file: FeatureFile, *, tile_batch: int, read_workers: int
) -> None:
    """Encode all tiles of a slide into `file`; threads read ahead while the network works."""
    seconds: defaultdict[str, float] = defaultdict(float)
    blocks = blocks_of(tiles.coords, edge_lv0=tiles.attributes["patch_size_level0"])
    last = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[part] += now - last
        last = now

    waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def encode_batch(size: int) -> None:
        rows, images = _take(waiting, size)
        features = encoder(images)
        lap("encode")
        file.put(rows, features)
        lap("write")

    for rows, (images, readable) in zip(blocks, ahead(reader.read, blocks, workers=read_workers), strict=True):
        lap("wait for tiles")
        if not readable.all():
            file.leave_out(rows[~readable])
            rows, images = rows[readable], images[readable]
        waiting.append((rows, images))
        while (size := sum(len(part) for part, _ in waiting)) >= tile_batch:
            encode_batch(tile_batch)
    if size := sum(len(part) for part, _ in waiting):
        encode_batch(size)
    total = sum(seconds.values())
    logger.info(
        "%s: %d tiles, %.1f tiles/s (%s)",
        tiles.slide,
        len(tiles.coords),
        len(tiles.coords) / total,
        ", ".join(f"{part} {value:.2f} s" for part, value in seconds.items()),
    )


def _take(waiting: list[tuple[np.ndarray, np.ndarray]], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Remove the first `size` tiles from what waits: their rows and images, copied only where parts are joined."""
    taken = []
    while size:
        rows, images = waiting.pop(0)
        if len(rows) > size:
            waiting.insert(0, (rows[size:], images[size:]))
            rows, images = rows[:size], images[:size]
        taken.append((rows, images))
        size -= len(rows)
    if len(taken) == 1:
        return taken[0]
    return np.concatenate([rows for rows, _ in taken]), np.concatenate([images for _, images in taken])
