"""A patient's tiles: the features of all of the patient's slides, read from HDF5 with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import h5py
import numpy as np
import pandas as pd

from histoweave.errors import InputError

BLOCK_ROWS = 4096


class BagStore:
    """Tile features by patient, read from the slides' files each time they are asked for.

    Parameters
    ----------
    slides : table with `slide`, `patient`, `status`, `features` (path); only slides with status `ok` are used.
    transform : maps (N,D) raw features to (N,k) float32, row by row; None keeps them as they are.
    """

    def __init__(self, slides: pd.DataFrame, *, transform: Callable[[np.ndarray], np.ndarray] | None = None):
        usable = slides[slides["status"] == "ok"].sort_values(["patient", "slide"])
        self._files: dict[str, list[tuple[str, str]]] = {}
        for row in usable.itertuples():
            self._files.setdefault(row.patient, []).append((row.slide, row.features))
        self._transform = transform
        self._counts: dict[str, int] = {}

    def __contains__(self, patient: str) -> bool:
        return patient in self._files

    def count(self, patient: str) -> int:
        """Number of tiles of a patient, over all slides."""
        if patient not in self._counts:
            self._counts[patient] = 0
            for _, path in self._files[patient]:
                with h5py.File(path) as file:
                    self._counts[patient] += len(file["features"])
        return self._counts[patient]

    def blocks(self, patient: str) -> Iterator[np.ndarray]:
        """A patient's tiles, slides in order of their ids, at most `BLOCK_ROWS` at a time: (N,k) float32.

        Raises
        ------
        InputError
            if a feature file holds values that are not finite, or of another width than the transform's.
        """
        for _, path in self._files[patient]:
            with h5py.File(path) as file:
                features = file["features"]
                for first in range(0, len(features), BLOCK_ROWS):
                    yield self._prepare(features[first : first + BLOCK_ROWS], path)

    def load(self, patient: str, rows: np.ndarray | None = None) -> np.ndarray:
        """All tiles of a patient, (N,k) float32, or these rows of them; in order and with errors as `blocks`."""
        tiles = np.concatenate(list(self.blocks(patient)))
        return tiles if rows is None else tiles[rows]

    def mean(self, patient: str) -> np.ndarray:
        """Mean of a patient's tile features over all slides, (k,) float64; errors as `blocks`."""
        total, n_tiles = np.float64(0.0), 0
        for block in self.blocks(patient):
            total = total + block.sum(axis=0, dtype=np.float64)
            n_tiles += len(block)
        return np.asarray(total / n_tiles)

    def coords(self, patient: str) -> pd.DataFrame:
        """Table `slide`, `x_lv0`, `y_lv0` (int64) of a patient's tiles, in the row order of `load`."""
        parts = []
        for slide, path in self._files[patient]:
            with h5py.File(path) as file:
                xy = file["coords"][:].astype(np.int64)
            parts.append(pd.DataFrame({"slide": slide, "x_lv0": xy[:, 0], "y_lv0": xy[:, 1]}))
        return pd.concat(parts, ignore_index=True)

    def _prepare(self, features: np.ndarray, path: str) -> np.ndarray:
        if not np.isfinite(features).all():
            raise InputError(f"{path}: holds features that are not finite; delete it so that it is made again")
        if self._transform is None:
            return features.astype(np.float32)
        try:
            return self._transform(features)
        except ValueError as error:
            raise InputError(f"{path}: {error}; use one encoder for all slides") from None
