"""Patient-level bootstrap with percentile intervals (Efron & Tibshirani 1993, ch. 13).

Which patients are drawn depends on the seed and their number alone, so that the draws of several models on
the same patients are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

# Percentile intervals of fewer patients are far too narrow (if all are right: [1, 1]), so none is given.
MIN_PATIENTS = 10
MAX_UNDEFINED = 0.2
_CHUNK_CELLS = 250_000  # draws × patients held at once


def weights(n: int, *, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each of `n` patients is drawn, in chunks (b, n) float64 that add up to `draws` rows."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // n)
    for start in range(0, draws, chunk):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(chunk, draws - start)).astype(np.float64)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], n: int, *, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The statistic on all patients (K,) and on each draw (draws, K).

    `statistic` takes weights (b, n) and returns (b, K). With fewer than `MIN_PATIENTS`
    patients every draw is NaN.
    """
    estimate = statistic(np.ones((1, n)))[0]
    if n < MIN_PATIENTS:
        return estimate, np.full((draws, len(estimate)), np.nan)
    return estimate, np.concatenate([statistic(w) for w in weights(n, draws=draws, seed=seed)])


def interval(values: np.ndarray, *, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval (low, high), each (K,), of draws (draws, K).

    Draws in which the statistic is undefined (NaN) are left out; above 20 % the interval is NaN.
    """
    tail = (1 - confidence) / 2
    bounds = np.full((2, values.shape[1]), np.nan)
    undefined = np.isnan(values)
    for k in np.flatnonzero(undefined.mean(axis=0) <= MAX_UNDEFINED):
        bounds[:, k] = np.quantile(values[~undefined[:, k], k], [tail, 1 - tail])
    return bounds[0], bounds[1]
