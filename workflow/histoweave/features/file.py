"""The feature file of a slide: `features/<encoder>/<slide>.h5`, written as the features come."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from histoweave.slides.store import TileTable
from histoweave.storage.hdf5 import NewHdf5

CHUNK_BYTES = 2**20


class FeatureFile:
    """Writes one row per tile in the order of the tile table, in chunks of about 1 MiB.

    Rows may come out of order; those that cannot be written yet wait in memory, so that memory follows how far the
    order is mixed and not the size of the slide.

    Parameters
    ----------
    path: of the new file.
    tiles: the slide's tiles.
    dim, precision: width and number format of a row.
    attributes: of the dataset `features`: what made them.

    Raises
    ------
    OSError
        from `put`, `finish` or the end of the block, if the disk did not take everything.
    """

    def __init__(self, path: Path, *, tiles: TileTable, dim: int, precision: str, attributes: dict[str, Any]):
        self._tiles = tiles
        self._new = NewHdf5(path)
        self._file = self._new.file
        self._rows_per_chunk = max(1, CHUNK_BYTES // (np.dtype(precision).itemsize * max(1, dim)))
        growing = {"maxshape": (None, dim), "chunks": (self._rows_per_chunk, dim)} if dim else {}
        self._rows = self._file.create_dataset("features", shape=(0, dim), dtype=precision, **growing)
        self._rows.attrs.update(name=tiles.slide, precision=precision, **attributes)
        self._early: dict[int, np.ndarray | None] = {}
        self._next = 0
        self._chunk: list[np.ndarray] = []
        self._kept = np.ones(len(tiles.coords), bool)
        self._digest = hashlib.sha256()

    def __enter__(self) -> FeatureFile:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._new.__exit__(*failure)

    @property
    def kept(self) -> np.ndarray:
        """(N,) bool: False for tiles that were left out so far."""
        return self._kept

    def put(self, rows: np.ndarray, features: np.ndarray) -> None:
        """Take the features (n,D) of the tiles `rows`; values are converted to the precision of the file.

        Raises
        ------
        FloatingPointError
            if a value is not finite in that precision.
        """
        with np.errstate(over="ignore"):  # overflow of float16 becomes inf
            features = features.astype(self._rows.dtype)
        if not np.isfinite(features).all():
            raise FloatingPointError(f"values that are not finite in {self._rows.dtype}")
        self._early.update(zip(rows.tolist(), features, strict=True))
        self._write_in_order()

    def leave_out(self, rows: np.ndarray) -> None:
        """The tiles `rows` have no features: they are listed in `failed_coords`."""
        self._kept[rows] = False
        self._early.update(dict.fromkeys(rows.tolist()))
        self._write_in_order()

    def finish(self, *, failed_before: np.ndarray | None = None) -> None:
        """Write the last chunk, the coordinates and the status `ok`, with what the tiling says of the slide.

        failed_before: (M,2) int64, corners of tiles that failed before the tile table was made.
        """
        self._write_chunk()
        if self._next != len(self._kept):
            raise AssertionError(f"tile {self._next} of {len(self._kept)} has neither features nor a failure")
        coords = self._tiles.coords[self._kept]
        self._digest.update(np.ascontiguousarray(coords).tobytes())
        failed = self._tiles.coords[~self._kept]
        if failed_before is not None:
            failed = np.concatenate([failed_before, failed])
        _write_rest(self._file, self._tiles, "ok", self._tiles.reason, coords, failed, self._digest.hexdigest())

    def refuse(self, status: str, reason: str) -> None:
        """No features: the status and its reason; tiles that were left out are listed all the same."""
        if len(self._rows):
            self._rows.resize(0, axis=0)
        failed = self._tiles.coords[~self._kept]
        nothing = hashlib.sha256().hexdigest()
        _write_rest(self._file, self._tiles, status, reason, self._tiles.coords[:0], failed, nothing)

    def _write_in_order(self) -> None:
        while self._next in self._early:
            row = self._early.pop(self._next)
            self._next += 1
            if row is not None:
                self._chunk.append(row)
            if len(self._chunk) == self._rows_per_chunk:
                self._write_chunk()

    def _write_chunk(self) -> None:
        if not self._chunk:
            return
        block = np.stack(self._chunk)
        self._chunk = []
        start = len(self._rows)
        self._rows.resize(start + len(block), axis=0)
        self._rows[start:] = block
        self._new.check()  # a full disk ends the slide here, not after all its tiles
        self._digest.update(block.tobytes())


def _write_rest(
    file: h5py.File,
    tiles: TileTable,
    status: str,
    reason: str,
    coords: np.ndarray,
    failed_coords: np.ndarray,
    sha256: str,
) -> None:
    file.attrs.update(slide=tiles.slide, status=status, reason=reason, features_sha256=sha256)
    file.create_dataset("coords", data=coords).attrs.update(tiles.attributes)
    file.create_dataset("failed_coords", data=failed_coords)
