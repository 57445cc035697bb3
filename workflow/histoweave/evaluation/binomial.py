"""Intervals of a share."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, stdtrit


def clopper_pearson(successes: float, n: float, *, confidence: float) -> tuple[float, float]:
    """Exact binomial interval (Clopper & Pearson 1934, Biometrika 26:404) by its beta quantiles.

    `successes` need not be whole: over several repeats it is a mean.
    """
    tail = (1 - confidence) / 2
    low = 0.0 if successes <= 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes >= n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def korn_graubard(successes: np.ndarray, n: np.ndarray, *, confidence: float) -> tuple[float, float]:
    """Interval of a share over patients who come in clusters, such as sites (Korn & Graubard 1998, Survey Methodology 24:193).

    Clopper and Pearson's with the number of independent patients that would give the variance between the clusters, made
    smaller for the few clusters that this variance is known from, and never larger than the number of patients:

        n* = min(n, p (1 - p) / v · (t(n - 1) / t(m - 1))²),  v = m / (m - 1) · Σ (k_i - p n_i)² / n²

    with the t quantiles of the confidence. Where all or none succeed there is no such variance, and n* is the number of
    clusters: how far patients of a cluster are alike is not known then.

    Parameters
    ----------
    successes, n : k_i and n_i of each of m clusters, (m,). With one cluster the interval is [0, 1].
    """
    there = n > 0
    successes, n = successes[there], n[there]
    total, clusters = n.sum(), len(n)
    if clusters < 2:
        return 0.0, 1.0
    share = successes.sum() / total
    variance = clusters / (clusters - 1) * np.sum((successes - share * n) ** 2) / total**2
    effective = min(total, float(clusters))
    if 0 < share < 1 and variance > 0:
        tail = (1 - confidence) / 2
        few = (stdtrit(max(total - 1, 1), tail) / stdtrit(clusters - 1, tail)) ** 2
        effective = min(total, share * (1 - share) / variance * few)
    elif 0 < share < 1:
        effective = total
    return clopper_pearson(share * effective, effective, confidence=confidence)
