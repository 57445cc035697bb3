"""Ranks of genes within a patient: what stays of RNA values when only their order counts."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def within_patient_ranks(values: np.ndarray) -> np.ndarray:
    """Each patient's values replaced by their ranks among the patient's own genes, scaled to (0, 1).

    (rank − ½) / m over the m genes that the patient has; equal values get their mean rank. Any increasing change of a
    patient's values leaves them as they are, and no other patient counts.

    Parameters
    ----------
    values : (n,G) float64, NaN where missing.

    Returns
    -------
    (n,G) float64, NaN where missing.
    """
    known = np.maximum((~np.isnan(values)).sum(axis=1, keepdims=True), 1)
    return (rankdata(values, axis=1, nan_policy="omit") - 0.5) / known
