"""Temperature scaling (Guo et al. 2017, ICML): one number per fold, fitted on its inner validation patients.

How a temperature is used: `evaluation.tempered`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from histoweave.evaluation.tempered import BOUNDS

MIN_PATIENTS = 10
_XATOL = 1e-6  # of log T

AT_UPPER_BOUND = "the probabilities of the validation patients are less informative than equal probabilities: the largest allowed temperature is used"


class Temperature(NamedTuple):
    """A temperature, and why it is not simply the fitted optimum ('' if it is)."""

    value: float
    reason: str


def fit_temperature(p: np.ndarray, y: np.ndarray) -> Temperature:
    """The temperature in `BOUNDS` with the least log loss on validation patients.

    The loss is convex in 1/T, so the bounded search finds the one minimum. It stays 1, with the reason, where there is
    none to find: too few patients or one class, a probability of exactly 0 (no temperature moves it), or validation
    patients who are all called right (then the loss falls for ever as T falls to 0).

    Parameters
    ----------
    p : (n, C) float64, probabilities of the validation patients. y : (n,) int, their classes.
    """
    if len(y) < MIN_PATIENTS:
        return Temperature(1.0, f"fewer than {MIN_PATIENTS} validation patients")
    if len(np.unique(y)) < 2:
        return Temperature(1.0, "the validation patients have one class")
    if (p == 0).any():
        return Temperature(1.0, "a probability is exactly 0, which temperature scaling cannot change")
    if (p.argmax(axis=1) == y).all():
        return Temperature(1.0, "all validation patients are predicted correctly, so no finite temperature is best")
    logs = np.log(p)
    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        scaled = logs / np.exp(log_temperature)
        return float((logsumexp(scaled, axis=1) - scaled[rows, y]).mean())

    # At T → ∞ the loss falls with T as long as the true classes' log p lies below the mean of all classes.
    if (logs[rows, y] - logs.mean(axis=1)).mean() <= 0:
        return Temperature(BOUNDS[1], AT_UPPER_BOUND)
    found = minimize_scalar(loss, bounds=tuple(np.log(BOUNDS)), method="bounded", options={"xatol": _XATOL})
    return Temperature(float(np.exp(found.x)), "")
