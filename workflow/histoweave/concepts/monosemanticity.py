"""MonoSemanticity score: do the images that fire a latent look alike to an encoder that did not make the latent?"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from histoweave.errors import InputError

_LATENTS_AT_ONCE = 4096  # × the length of an embedding, float64


def monosemanticity(activations: csr_matrix, features: np.ndarray) -> np.ndarray:
    """Mean cosine of all pairs of images, weighted by how strongly both fire a latent: (L,) float64 in [−1, 1].

    MS = Σ_{n<m} a_n a_m cos(E_n, E_m) / Σ_{n<m} a_n a_m, with the activations of a latent min-max scaled to [0, 1]
    (Pach et al. 2025, arXiv 2504.02821). With unit vectors u the numerator is (‖Σ a_n u_n‖² − Σ a_n²‖u_n‖²) / 2, so
    the cost is linear in the images. NaN where fewer than two images have a scaled activation above 0.

    Parameters
    ----------
    activations: (N,L) ≥ 0, stored where a latent fires. features: (N,P) embedding E, not made from the tokens of the
        dictionary alone (another network, or at least the encoder's own pooled output). A vector of zeros has cosine 0.

    Raises
    ------
    InputError
        if the embedding is not finite.
    """
    if not np.isfinite(features).all():
        row = int(np.argmin(np.isfinite(features).all(axis=1)))
        raise InputError(f"the embedding of image number {row + 1} holds NaN or infinity; embed it again")
    if not len(features):
        return np.full(activations.shape[1], np.nan)
    norms = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    unit = np.divide(features, norms, out=np.zeros(features.shape), where=norms > 0)
    squared = np.square(unit).sum(axis=1)  # 1, or 0 for a vector of zeros
    columns = activations.tocsc()
    parts = [
        _of_latents(columns[:, start : start + _LATENTS_AT_ONCE], unit, squared)
        for start in range(0, columns.shape[1], _LATENTS_AT_ONCE)
    ]
    return np.concatenate(parts)


def _of_latents(activations: csc_matrix, unit: np.ndarray, squared: np.ndarray) -> np.ndarray:
    scaled = _min_max(activations)
    weighted = scaled.T @ unit
    own = scaled.power(2)
    numerator = np.square(weighted).sum(axis=1) - own.T @ squared
    denominator = np.asarray(scaled.sum(axis=0)).ravel() ** 2 - np.asarray(own.sum(axis=0)).ravel()
    several = np.diff(scaled.indptr) > 1
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=several)


def _min_max(activations: csc_matrix) -> csc_matrix:
    """Each column scaled to [0, 1], what becomes 0 not stored; a constant column becomes empty."""
    scaled = activations.astype(np.float64)
    counts = np.diff(scaled.indptr)
    low = scaled.min(axis=0).toarray().ravel()  # above 0 only where a latent fires in every image
    spread = scaled.max(axis=0).toarray().ravel() - low
    low, spread = np.repeat(low, counts), np.repeat(spread, counts)
    scaled.data = np.divide(scaled.data - low, spread, out=np.zeros_like(scaled.data), where=spread > 0)
    scaled.eliminate_zeros()
    return scaled
