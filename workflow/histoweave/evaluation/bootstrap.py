"""Bootstrap over patients, or over clusters of them such as sites, with percentile intervals (Efron & Tibshirani 1993).

Which patients or clusters are drawn depends on the seed and their number alone, so that the draws of several models on
the same patients are paired.

Resampling a handful of clusters gives intervals that are far too narrow (Cameron, Gelbach & Miller, Rev Econ Stat
2008;90:414). With fewer than `FEW_CLUSTERS` the draws therefore come from the cluster jackknife with t quantiles of G − 1
degrees of freedom (MacKinnon, Nielsen & Webb, J Appl Econom 2023;38:671, CV3): see `jackknife_draws`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

# Percentile intervals of fewer patients are far too narrow (if all are right: [1, 1]), so none is given.
MIN_PATIENTS = 10
# Two clusters have one difference, which says nothing of how much clusters differ.
MIN_CLUSTERS = 3
# Where "few" ends is said to be between 20 and 50 (Cameron & Miller, J Hum Resour 2015;50:317): percentile intervals of 20
# sites held the truth in 92 % of simulated cohorts, those of the jackknife in 95 % (docs/validation.md).
FEW_CLUSTERS = 50
MAX_UNDEFINED = 0.2
_CHUNK_CELLS = 250_000  # draws × patients held at once


def weights(n: int, *, draws: int, seed: int, held: int | None = None) -> Iterator[np.ndarray]:
    """Yield how often each of `n` units is drawn, in chunks (b, n) float64 that add up to `draws` rows.

    held : patients behind the units, on which the size of the chunks depends (default: the units are patients).
    """
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // (held or n))
    for start in range(0, draws, chunk):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(chunk, draws - start)).astype(np.float64)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    *,
    draws: int,
    seed: int,
    clusters: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The statistic on all patients (K,) and on each draw (draws, K).

    Parameters
    ----------
    statistic : takes weights (b, n) and returns (b, K).
    clusters : (n,) int, the cluster 0 … G − 1 of each patient. All patients of a drawn cluster come along. None: every
        patient by itself.

    With fewer than `MIN_PATIENTS` patients or `MIN_CLUSTERS` clusters every draw is NaN.
    """
    estimate = statistic(np.ones((1, n)))[0]
    n_clusters = n if clusters is None else int(clusters.max()) + 1
    if n < MIN_PATIENTS or n_clusters < MIN_CLUSTERS:
        return estimate, np.full((draws, len(estimate)), np.nan)
    if clusters is None:
        return estimate, np.concatenate([statistic(w) for w in weights(n, draws=draws, seed=seed)])
    if n_clusters < FEW_CLUSTERS:
        return estimate, jackknife_draws(statistic, estimate, clusters, draws=draws, seed=seed)
    drawn = weights(n_clusters, draws=draws, seed=seed, held=n)
    return estimate, np.concatenate([statistic(w[:, clusters]) for w in drawn])


def jackknife_draws(
    statistic: Callable[[np.ndarray], np.ndarray],
    estimate: np.ndarray,
    clusters: np.ndarray,
    *,
    draws: int,
    seed: int,
) -> np.ndarray:
    """Draws (draws, K) around the estimate whose quantiles are the t interval of the cluster jackknife.

    With θ₍g₎ the statistic without cluster g, the draws are multivariate t of G − 1 degrees of freedom with the
    covariance (G − 1)/G Σ (θ₍g₎ − θ)(θ₍g₎ − θ)ᵀ. So any difference of two columns has the t interval of its own
    jackknife, as paired comparisons need. A statistic that is undefined without some cluster is NaN in every draw. The
    draws know no range: whoever shows an interval cuts it at the range of the metric.
    """
    n_clusters = int(clusters.max()) + 1
    without = statistic((clusters[None, :] != np.arange(n_clusters)[:, None]).astype(np.float64))
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((draws, n_clusters))
    scores /= np.sqrt(rng.chisquare(n_clusters - 1, size=(draws, 1)) / (n_clusters - 1))
    spread = np.sqrt((n_clusters - 1) / n_clusters) * (without - estimate)
    return estimate + np.einsum("bg,gk->bk", scores, spread)


def interval(values: np.ndarray, *, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval (low, high), each (K,), of draws (draws, K) of `bootstrap` or of their differences.

    Draws in which the statistic is undefined (NaN) are left out; above 20 % the interval is NaN.
    """
    tail = (1 - confidence) / 2
    bounds = np.full((2, values.shape[1]), np.nan)
    undefined = np.isnan(values)
    for k in np.flatnonzero(undefined.mean(axis=0) <= MAX_UNDEFINED):
        bounds[:, k] = np.quantile(values[~undefined[:, k], k], [tail, 1 - tail])
    return bounds[0], bounds[1]
