"""AUROC of every column of a matrix at once, dense or sparse: how well one concept alone ranks images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

Matrix: TypeAlias = np.ndarray | csr_matrix

_MAX_VALUES = 1 << 24  # of a dense block


def dense_blocks(matrix: Matrix) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of columns and those columns as a dense array, about 128 MB at a time."""
    step = max(1, _MAX_VALUES // max(1, matrix.shape[0]))
    by_column = matrix if isinstance(matrix, np.ndarray) else matrix.tocsc()
    for start in range(0, matrix.shape[1], step):
        columns = slice(start, min(start + step, matrix.shape[1]))
        block = by_column[:, columns]
        yield columns, block if isinstance(block, np.ndarray) else block.toarray()


def column_auroc(matrix: Matrix, positive: np.ndarray) -> np.ndarray:
    """AUROC (L,K) of each column of `matrix` (n,L) for each column of `positive` (n,K) bool; ties count half.

    Mann–Whitney: (R₊ − P (P + 1) / 2) / (P N), with R₊ the sum of the average ranks of the P positive rows. NaN
    where a target has one class only.
    """
    positive = np.asarray(positive, dtype=np.float64)
    n_positive = positive.sum(axis=0)
    pairs = n_positive * (len(positive) - n_positive)
    found = np.full((matrix.shape[1], positive.shape[1]), np.nan)
    if not pairs.any():
        return found
    for columns, block in dense_blocks(matrix):
        rank_sum = pd.DataFrame(block).rank().to_numpy().T @ positive
        found[columns] = rank_sum - n_positive * (n_positive + 1) / 2
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, found / np.where(pairs > 0, pairs, 1), np.nan)
