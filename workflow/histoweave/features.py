"""The feature stage of one slide: tiles read by µm per px become vectors, encoded by one network."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import torch

from histoweave.config import Encoder, OnError
from histoweave.device import resolve_device
from histoweave.encoders.loading import LoadedEncoder, load
from histoweave.errors import InputError
from histoweave.io import atomic_path
from histoweave.slides.refusal import OK, Refusal
from histoweave.slides.store import TileTable, read_tiles
from histoweave.slides.tile_reader import TileReader

logger = logging.getLogger(__name__)

CHUNK_BYTES = 2**20


def extract(
    *,
    slide: str,
    path: str,
    tiles_h5: str | os.PathLike,
    out_h5: str | os.PathLike,
    encoder: Encoder | LoadedEncoder,
    precision: Literal["float32", "float16"],
    max_failed_share: float,
    on_error: OnError,
    device: str,
    tile_batch: int,
    read_workers: int,
) -> str:
    """Encode the tiles of one slide and write `features/<encoder>/<slide>.h5` of `docs/artefacts.md`.

    A tile that cannot be read is left out and listed in `failed_coords`; with more than `max_failed_share`
    of them the slide is refused as `unreadable_tiles`. A slide that the tiling stage refused keeps its
    status and reason.

    Parameters
    ----------
    encoder: its configuration, or a loaded one to serve several slides.
    device, tile_batch, read_workers: change the speed, and the result by float rounding at most.

    Returns
    -------
    The status.

    Raises
    ------
    InputError
        with `on_error="stop"` for a status other than `ok` (nothing is written then); for an encoder that
        cannot be loaded; for features that are not finite.
    """
    loaded = encoder if isinstance(encoder, LoadedEncoder) else load(encoder)
    tiles = read_tiles(tiles_h5)
    status, reason = tiles.status, tiles.reason
    features = np.empty((len(tiles.coords), loaded.dim), precision)
    failed = np.zeros(len(tiles.coords), bool)
    started = time.perf_counter()
    if status == OK:
        try:
            reader = TileReader(
                path=Path(path), tiles=tiles, edge_px=loaded.input_px, interpolation=loaded.interpolation
            )
        except Refusal as refusal:
            status, reason = refusal.status, refusal.reason
        else:
            with reader:
                failed = _encode_all(
                    reader,
                    encoder=loaded,
                    device=resolve_device(device),
                    tile_batch=tile_batch,
                    read_workers=read_workers,
                    out=features,
                )
            if failed.sum() > max_failed_share * len(failed) or failed.all():
                status = "unreadable_tiles"
                reason = f"{failed.sum()} of {len(failed)} tiles cannot be read, over {max_failed_share:.0%}"
    if status != OK and on_error == "stop":
        raise InputError(f"slide '{slide}' ({path}): {status}: {reason} (on_error is 'stop')")
    kept = ~failed if status == OK else np.zeros_like(failed)
    features = features[kept]
    if not np.isfinite(features).all():
        raise InputError(
            f"slide '{slide}': encoder '{loaded.name}' gives values that are not finite in {precision}; "
            "set features.precision to 'float32', or check the weights"
        )
    _write(
        out_h5,
        tiles=tiles,
        encoder=loaded,
        features=features,
        coords=tiles.coords[kept],
        failed_coords=tiles.coords[failed],
        status=status,
        reason=reason,
    )
    seconds = time.perf_counter() - started
    logger.info("%s: %s, %d tiles, %d failed, %.1f s %s", slide, status, len(features), failed.sum(), seconds, reason)
    return status


def _in_order_ahead(
    read: Callable[[int], np.ndarray | None], indices: Iterable[int], *, workers: int, ahead: int
) -> Iterator[np.ndarray | None]:
    """`read` of each index, in order, by threads that are at most `ahead` tiles ahead of the consumer."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        for index in indices:
            waiting.append(pool.submit(read, index))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _encode_all(
    reader: TileReader,
    *,
    encoder: LoadedEncoder,
    device: torch.device,
    tile_batch: int,
    read_workers: int,
    out: np.ndarray,
) -> np.ndarray:
    """Encode all tiles of `reader` into `out` (N,D); returns (N,) bool, True where a tile cannot be read."""
    encoder.module.to(device)
    failed = np.zeros(len(reader), bool)
    batch: dict[int, np.ndarray] = {}

    def encode_batch() -> None:
        with np.errstate(over="ignore"):  # overflow of float16 becomes inf, which `extract` refuses
            out[list(batch)] = encode(np.stack(list(batch.values())), encoder=encoder, device=device)
        batch.clear()

    tiles = _in_order_ahead(reader, range(len(reader)), workers=read_workers, ahead=tile_batch + read_workers)
    for row, tile in enumerate(tiles):
        if tile is None:
            failed[row] = True
            continue
        batch[row] = tile
        if len(batch) == tile_batch:
            encode_batch()
    if batch:
        encode_batch()
    return failed


def encode(tiles: np.ndarray, *, encoder: LoadedEncoder, device: torch.device) -> np.ndarray:
    """Encode (B,E,E,3) uint8 RGB tiles of the encoder's input size: (B,D) float32; autocast on CUDA only."""
    with torch.inference_mode(), torch.autocast("cuda", enabled=device.type == "cuda"):
        images = torch.from_numpy(tiles).to(device).permute(0, 3, 1, 2).float() / 255
        mean = torch.tensor(encoder.mean, device=device).view(3, 1, 1)
        std = torch.tensor(encoder.std, device=device).view(3, 1, 1)
        return encoder.module((images - mean) / std).float().cpu().numpy()


def _write(
    path: str | os.PathLike,
    *,
    tiles: TileTable,
    encoder: LoadedEncoder,
    features: np.ndarray,
    coords: np.ndarray,
    failed_coords: np.ndarray,
    status: str,
    reason: str,
) -> None:
    rows_per_chunk = max(1, CHUNK_BYTES // (features.itemsize * encoder.dim))
    chunks = (min(rows_per_chunk, len(features)), encoder.dim) if len(features) else None
    digest = hashlib.sha256(features.tobytes())
    digest.update(coords.tobytes())
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(slide=tiles.slide, status=status, reason=reason, features_sha256=digest.hexdigest())
        rows = file.create_dataset("features", data=features, chunks=chunks)
        rows.attrs.update(
            name=tiles.slide,
            encoder=encoder.name,
            weights_sha256=encoder.weights_sha256,
            input_px=encoder.input_px,
            mean=encoder.mean,
            std=encoder.std,
            precision=str(features.dtype),
        )
        file.create_dataset("coords", data=coords).attrs.update(tiles.attributes)
        file.create_dataset("failed_coords", data=failed_coords)
