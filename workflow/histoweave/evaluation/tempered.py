"""Probabilities at a temperature (Guo et al. 2017, ICML): softmax(log p / T).

T > 1 makes them less certain, T < 1 more; no call changes.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

BOUNDS = (0.05, 20.0)  # of a temperature that is fitted


def rescale(p: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Probabilities (n, C) float64 at a temperature (one, or (n,) of each row). A probability of 0 stays 0, and at
    temperature 1 every row stays as it is."""
    temperature = np.broadcast_to(np.asarray(temperature, dtype=np.float64), len(p))[:, None]
    with np.errstate(divide="ignore"):
        scaled = np.exp(log_softmax(np.log(p) / temperature, axis=1))
    return np.where(temperature == 1, p, scaled)
