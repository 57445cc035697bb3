"""Nested subsets of patients: who is among a quarter is among the half."""

from __future__ import annotations

import numpy as np


def priorities(patients: list[str], *, seed: int, k: int) -> dict[str, float]:
    """A random number per patient of a fold. It does not depend on the model, so models learn from the same patients."""
    drawn = np.random.default_rng([seed, k, 0x1C]).random(len(patients))
    return dict(zip(sorted(patients), drawn, strict=True))


def nested(patients: list[str], codes: np.ndarray, priority: dict[str, float], share: float) -> list[str]:
    """The patients of lowest priority number, a share of every class but at least one patient of it.

    Parameters
    ----------
    codes : (n,) int, class of each patient.
    """
    kept: list[str] = []
    for code in np.unique(codes):
        own = sorted(
            (patient for patient, c in zip(patients, codes, strict=True) if c == code), key=priority.__getitem__
        )
        kept += own[: max(1, int(share * len(own) + 0.5))]
    return sorted(kept)
