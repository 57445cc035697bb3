"""Ranks of genes within a patient: what stays of RNA values when only their order counts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from histoweave.errors import InputError


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
    return (pd.DataFrame(values).rank(axis=1).to_numpy() - 0.5) / known


def standardised_ranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation (1 where there is none) and median over the patients of each gene's rank, each (G,).

    values : (n,G) float64, NaN where missing; every gene is known of some patient.

    Raises
    ------
    InputError
        if no gene's rank varies.
    """
    ranked = within_patient_ranks(values)
    fill = np.nanmedian(ranked, axis=0)
    ranked = np.where(np.isnan(ranked), fill, ranked)
    scale = ranked.std(axis=0)
    varies = scale > 1e-12
    if not varies.any():
        raise InputError(
            "fusion.expression_transform: ranks cannot separate any two training patients, because their genes have the same "
            "order; raise fusion.n_genes, or use log2"
        )
    return ranked.mean(axis=0), np.where(varies, scale, 1.0), fill
