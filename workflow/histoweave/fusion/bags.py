"""A patient's tiles: the features of all of the patient's slides, read from HDF5 with bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pandas as pd

from histoweave.errors import InputError

_CHUNK_ROWS = 4096


class BagStore:
    """Tile features by patient.

    Parameters
    ----------
    slides : table with `slide`, `patient`, `status`, `features` (path); only slides with status `ok` are used.
    transform : maps (N,D) raw features to (N,k) float32, row by row; None keeps them as they are.
    max_bytes : bound of the cache of transformed bags; the least recently used bag is dropped first. A larger
        bag is read from its file each time.
    """

    def __init__(
        self,
        slides: pd.DataFrame,
        *,
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
        max_bytes: int = 1 << 30,
    ):
        usable = slides[slides["status"] == "ok"].sort_values(["patient", "slide"])
        self._files: dict[str, list[tuple[str, str]]] = {}
        for row in usable.itertuples():
            self._files.setdefault(row.patient, []).append((row.slide, row.features))
        self._transform = transform
        self._max_bytes = max_bytes
        self._counts: dict[str, list[int]] = {}
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()

    def __contains__(self, patient: str) -> bool:
        return patient in self._files

    @property
    def cached_bytes(self) -> int:
        """Size of the bags that are in memory."""
        return sum(bag.nbytes for bag in self._cache.values())

    def count(self, patient: str) -> int:
        """Number of tiles of a patient, over all slides."""
        if patient not in self._counts:
            counts = []
            for _, path in self._files[patient]:
                with h5py.File(path) as file:
                    counts.append(len(file["features"]))
            self._counts[patient] = counts
        return sum(self._counts[patient])

    def load(self, patient: str, *, rng: np.random.Generator | None = None, max_tiles: int | None = None) -> np.ndarray:
        """Features of a patient's tiles, slides in order of their ids.

        Parameters
        ----------
        rng, max_tiles : if both are given, at most `max_tiles` rows, drawn without replacement, in file order.

        Returns
        -------
        (N,k) float32

        Raises
        ------
        InputError
            if a feature file holds values that are not finite.
        """
        rows = None
        if rng is not None and max_tiles is not None and self.count(patient) > max_tiles:
            rows = np.sort(rng.choice(self.count(patient), size=max_tiles, replace=False))
        if patient in self._cache:
            self._cache.move_to_end(patient)
        elif rows is None or not self._is_large(patient):
            self._remember(patient, bag := self._read(patient, None))
            return bag if rows is None else bag[rows]
        else:
            return self._read(patient, rows)
        bag = self._cache[patient]
        return bag if rows is None else bag[rows]

    def mean(self, patient: str) -> np.ndarray:
        """Mean of a patient's tile features over all slides, (k,) float64; each file is read once, block by block.

        Raises
        ------
        InputError
            as `load`.
        """
        total: Any = np.float64(0.0)
        n_tiles = 0
        for _, path in self._files[patient]:
            with h5py.File(path) as file:
                features = file["features"]
                for first in range(0, len(features), _CHUNK_ROWS):
                    part = self._prepare(features[first : first + _CHUNK_ROWS], path)
                    total = total + part.sum(axis=0, dtype=np.float64)
                    n_tiles += len(part)
        return total / n_tiles

    def coords(self, patient: str) -> pd.DataFrame:
        """Table `slide`, `x_lv0`, `y_lv0` (int64) of a patient's tiles, in the row order of `load`."""
        parts = []
        for slide, path in self._files[patient]:
            with h5py.File(path) as file:
                xy = file["coords"][:].astype(np.int64)
            parts.append(pd.DataFrame({"slide": slide, "x_lv0": xy[:, 0], "y_lv0": xy[:, 1]}))
        return pd.concat(parts, ignore_index=True)

    def _is_large(self, patient: str) -> bool:
        """True if the transformed bag does not fit the cache; a one-row read tells the width."""
        width = self._read(patient, np.array([0])).shape[1]
        return self.count(patient) * width * 4 > self._max_bytes

    def _remember(self, patient: str, bag: np.ndarray) -> None:
        if bag.nbytes > self._max_bytes:
            return
        self._cache[patient] = bag
        while self.cached_bytes > self._max_bytes:
            self._cache.popitem(last=False)

    def _read(self, patient: str, rows: np.ndarray | None) -> np.ndarray:
        self.count(patient)
        parts, start = [], 0
        for (_, path), n in zip(self._files[patient], self._counts[patient], strict=True):
            with h5py.File(path) as file:
                features = file["features"]
                if rows is None:
                    for first in range(0, n, _CHUNK_ROWS):
                        parts.append(self._prepare(features[first : first + _CHUNK_ROWS], path))
                else:
                    local = rows[(rows >= start) & (rows < start + n)] - start
                    if len(local):
                        parts.append(self._prepare(features[local], path))
            start += n
        return np.concatenate(parts)

    def _prepare(self, features: np.ndarray, path: str) -> np.ndarray:
        if not np.isfinite(features).all():
            raise InputError(f"{path}: holds features that are not finite; delete it so that it is made again")
        if self._transform is None:
            return features.astype(np.float32)
        try:
            return self._transform(features)
        except ValueError as error:
            raise InputError(f"{path}: {error}; use one encoder for all slides") from None
