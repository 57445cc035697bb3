"""The file of a shard of cells: `cells/<encoder>/<shard>.h5` of docs/artefacts.md, written as the tokens come."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from typing import Any

import h5py
import numpy as np

from histoweave.storage.hdf5 import NewHdf5
from histoweave.storage.refusal import OK, Refusal

CHUNK_BYTES = 2**20


class CellShardFile:
    """Writes cells one after the other; what is in memory is one batch and a few bytes per cell.

    Parameters
    ----------
    path: of the new file.
    dim, n_features: length of a token and of the encoder's own vector.
    precision: of the stored tokens, `float32` or `float16`.
    attributes: of the file; `precision` is added.

    Raises
    ------
    OSError
        from `put` or the end of the block, if the disk did not take everything.
    """

    def __init__(
        self, path: str | os.PathLike, *, dim: int, n_features: int, precision: str, attributes: dict[str, Any]
    ):
        self._new = NewHdf5(path)
        self._new.file.attrs.update(attributes, precision=precision)
        self._tokens = self._growing("tokens", dim, precision)
        self._features = self._growing("features", n_features, "float32")
        self._lengths: list[int] = []
        self._cells: list[str] = []
        self._contents: list[str] = []
        self._refused: list[tuple[str, str, str]] = []

    def __enter__(self) -> CellShardFile:
        return self

    def __exit__(self, *failure: Any) -> None:
        if failure[0] is None:
            self._finish()
        self._new.__exit__(*failure)

    def put(
        self, cells: list[str], tokens: np.ndarray, features: np.ndarray, *, source: np.ndarray
    ) -> list[tuple[str, Refusal]]:
        """Take the tokens (n,T,D) and the vectors (n,P) of n cells, and what they were made from (n,…).

        Returns those that are refused as `not_finite`, because a value is not finite in the precision of the file.
        """
        with np.errstate(over="ignore"):  # overflow of float16 becomes inf
            tokens = tokens.astype(self._tokens.dtype, copy=False)
        finite = np.isfinite(tokens).all(axis=(1, 2)) & np.isfinite(features).all(axis=1)
        if not finite.all():
            refusal = Refusal("not_finite", f"its tokens hold NaN or infinity (stored as {self._tokens.dtype})")
            refused = [(cells[at], refusal) for at in np.flatnonzero(~finite)]
            for cell, reason in refused:
                self.refuse(cell, reason)
            cells = [cell for cell, good in zip(cells, finite, strict=True) if good]
            tokens, features, source = tokens[finite], features[finite], source[finite]
        else:
            refused = []
        _append(self._tokens, tokens.reshape(-1, tokens.shape[2]))
        _append(self._features, features)
        self._cells += cells
        self._contents += [hashlib.sha256(np.ascontiguousarray(one).data).hexdigest()[:16] for one in source]
        self._lengths += [tokens.shape[1]] * len(cells)
        self._new.check()  # a full disk ends the shard here, not after all its cells
        return refused

    def refuse(self, cell: str, refusal: Refusal) -> None:
        """The cell has no tokens, for that reason."""
        self._refused.append((cell, refusal.status, refusal.reason))

    def counts(self) -> dict[str, int]:
        """Cells by status, `ok` first."""
        return {OK: len(self._cells), **Counter(status for _, status, _ in self._refused)}

    def _growing(self, name: str, width: int, dtype: str) -> h5py.Dataset:
        rows = max(1, CHUNK_BYTES // (np.dtype(dtype).itemsize * max(1, width)))
        chunks = {"maxshape": (None, width), "chunks": (rows, width)} if width else {}
        return self._new.file.create_dataset(name, shape=(0, width), dtype=dtype, **chunks)

    def _finish(self) -> None:
        file, text = self._new.file, h5py.string_dtype()
        file["offsets"] = np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
        for name, values in (("cell", self._cells), ("content", self._contents)):
            file.create_dataset(name, data=np.array(values, object), dtype=text)
        columns = list(zip(*self._refused, strict=True)) or [(), (), ()]
        for name, words in zip(("refused_cell", "refused_status", "refused_reason"), columns, strict=True):
            file.create_dataset(name, data=np.array(words, object), dtype=text)


def _append(dataset: h5py.Dataset, rows: np.ndarray) -> None:
    start = len(dataset)
    if len(rows):
        dataset.resize(start + len(rows), axis=0)
        dataset[start:] = rows
