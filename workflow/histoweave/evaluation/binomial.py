"""Intervals of a share."""

from __future__ import annotations

from scipy.stats import beta


def clopper_pearson(successes: float, n: int, *, confidence: float) -> tuple[float, float]:
    """Exact binomial interval (Clopper & Pearson 1934, Biometrika 26:404) by its beta quantiles.

    `successes` need not be whole: over several repeats it is a mean.
    """
    tail = (1 - confidence) / 2
    low = 0.0 if successes <= 0 else float(beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes >= n else float(beta.ppf(1 - tail, successes + 1, n - successes))
    return low, high
