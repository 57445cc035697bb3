"""The power law of learning curves, score(n) = a − b · n^−c (Cortes et al. 1993; Figueroa et al. 2012, BMC Med Inform
Decis Mak 12:8), with a ≤ 1, b ≥ 0 and c between 0.05 and 2: a score that more patients do not lower.

For a given c the law is linear in a and b, so the fit goes over a fine grid of c and solves the bounded least squares
of a and b exactly. No starting value can mislead it, and thousands of bootstrap draws are fitted at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

EXPONENTS = np.geomspace(0.05, 2.0, 400)
MIN_SIZES = 3
_CHUNK = 500  # draws fitted at once


class PowerLaw(NamedTuple):
    """Parameters of one or many fits, each float or (D,). A flat curve has b = c = 0."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def __call__(self, n: float) -> np.ndarray:
        """The score at n patients."""
        return self.a - self.b * np.power(float(n), -self.c)


def fit(n: np.ndarray, scores: np.ndarray) -> PowerLaw:
    """Least-squares fit of each row of `scores`.

    Parameters
    ----------
    n : (S,) patients, positive. scores : (D, S), at most 1.

    Returns
    -------
    a, b, c, each (D,); NaN for a row that holds NaN, and for all where fewer than three sizes differ: three
    parameters are not identifiable then.
    """
    parameters = np.full((3, len(scores)), np.nan)
    if len(np.unique(n)) >= MIN_SIZES:
        whole = np.flatnonzero(~np.isnan(scores).any(axis=1))
        for start in range(0, len(whole), _CHUNK):
            rows = whole[start : start + _CHUNK]
            parameters[:, rows] = _fit(np.asarray(n, dtype=np.float64), scores[rows])
    return PowerLaw(*parameters)


def _fit(n: np.ndarray, scores: np.ndarray) -> np.ndarray:
    largest = n.max()
    z = np.power(n / largest, -EXPONENTS[:, None])  # (G, S); scaled, so that b is of the size of the scores
    mean_z, mean = z.mean(axis=1), scores.mean(axis=1, keepdims=True)
    centred = z - mean_z[:, None]
    b = np.maximum(-(scores @ centred.T) / (centred**2).sum(axis=1), 0)
    a = mean + b * mean_z
    # Where that lies above 1, the best with a = 1 is on the edge of what is allowed.
    edge = np.maximum((1 - scores) @ z.T / (z**2).sum(axis=1), 0)
    a, b = np.where(a > 1, 1.0, a), np.where(a > 1, edge, b)
    errors = ((scores[:, None] - a[..., None] + b[..., None] * z) ** 2).sum(axis=2)
    best = errors.argmin(axis=1)
    row = np.arange(len(scores))
    a, b = a[row, best], b[row, best]
    c = np.where(b > 0, EXPONENTS[best], 0.0)
    return np.stack([a, b * largest**c, c])
