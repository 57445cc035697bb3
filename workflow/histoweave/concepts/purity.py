"""How pure a latent is in some labels: the entropy over its top images, and the label that leads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix


def label_purity(
    matrix: csr_matrix, labels: np.ndarray, *, among: Sequence[str], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Label entropy and leading label of each column's `k` top images, of those images that have a label in `among`.

    Entropy is that of CytoSAE (Dasdelen et al. 2025, arXiv 2507.12464): of the labels' shares of the summed activation,
    −Σ p ln(p + 1e-9); −1 if the column fires in fewer than `k` images, NaN if in none.

    Parameters
    ----------
    matrix : (N,L) mean activations. labels : (N,) of the images, None where blank.

    Returns
    -------
    (L,) float64 and (L,) object (None where the column does not fire).
    """
    codes = np.array([among.index(label) if label in among else -1 for label in labels], dtype=np.int64)
    entries = matrix[codes >= 0].tocoo()
    code, column, value = codes[codes >= 0][entries.row], entries.col, entries.data.astype(np.float64)
    order = np.lexsort((entries.row, -value, column))
    code, column, value = code[order], column[order], value[order]
    n_fires = np.bincount(column, minlength=matrix.shape[1])
    rank = np.arange(len(column)) - np.repeat(np.cumsum(n_fires) - n_fires, n_fires)
    top = rank < k
    sums = np.zeros((matrix.shape[1], max(1, len(among))))
    np.add.at(sums, (column[top], code[top]), value[top])
    with np.errstate(invalid="ignore"):
        p = sums / sums.sum(axis=1, keepdims=True)
    entropy = np.where(n_fires == 0, np.nan, np.where(n_fires < k, -1.0, -(p * np.log(p + 1e-9)).sum(axis=1)))
    names = np.array([*among, None], dtype=object)
    return entropy, names[np.where(n_fires > 0, sums.argmax(axis=1), len(among))]
