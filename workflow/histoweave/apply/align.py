"""Moving an external cohort's RNA to the training cohort, gene by gene, by what all its patients show: no label, no fit.

An aligned prediction depends on the other patients of the cohort, and another mix of classes is taken for another
platform. So alignment is asked for (`apply.align`), stated wherever predictions are shown, and needs `LEAST_PATIENTS`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.settings.apply import Align

LEAST_PATIENTS = 20
# Quantiles of each gene that a bundle keeps; between them values are interpolated, beyond them they are moved alike.
LEVELS = np.array([0.01, *np.arange(1, 20) / 20, 0.99])
WORDS: dict[str, str] = {"median": "gene medians", "quantile": "quantiles of each gene"}


def units_may_differ(align: Align, *, transform: str) -> bool:
    """Whether an external cohort's RNA may be given in another unit than training had.

    Units differ by an increasing change of each gene or patient: ranks within a patient do not see the second, and
    alignment takes back the first.

    Parameters
    ----------
    align : `apply.align`. transform : `fusion.expression_transform` of the training run.
    """
    return align != "none" or transform == "ranks"


def statement(align: Align, n: int) -> str:
    """What is said of an alignment over n patients wherever predictions are shown."""
    return (
        f"RNA was aligned to the training cohort by {WORDS[align]} over the {n} patients of this cohort, without labels; each "
        "prediction therefore depends on the other patients, and the alignment is wrong if the mix of classes differs"
    )


def too_few(align: Align, n: int) -> str:
    """Why n patients cannot be aligned, empty if they can."""
    if align == "none" or n >= LEAST_PATIENTS:
        return ""
    return (
        f"apply.align: '{align}' needs the RNA of at least {LEAST_PATIENTS} patients, but this cohort has {n}; "
        "set it to none, or add patients"
    )


def aligned(
    expression: pd.DataFrame, *, align: Align, median: pd.Series, quantiles: pd.DataFrame | None
) -> pd.DataFrame:
    """The cohort's values on the scale of training; genes that the reference lacks, and missing values, stay.

    Parameters
    ----------
    expression : patients × genes, log2, NaN where missing.
    median : gene → median over the training patients.
    quantiles : genes × `LEVELS`, of the training patients; needed for `quantile` only.

    Raises
    ------
    InputError
        for fewer than `LEAST_PATIENTS` patients, or quantiles that the bundle does not have.
    """
    if align == "none":
        return expression
    if against := too_few(align, len(expression)):
        raise InputError(against)
    if align == "quantile" and quantiles is None:
        raise InputError(WITHOUT_QUANTILES)
    out = expression.copy()
    genes = [gene for gene in median.index if gene in expression and expression[gene].notna().any()]
    if align == "median":
        out[genes] = expression[genes] + (median[genes] - expression[genes].median())
    else:
        assert quantiles is not None  # the alignment asks for them
        mapped = {gene: quantile_map(expression[gene].to_numpy(np.float64), quantiles.loc[gene]) for gene in genes}
        out[genes] = pd.DataFrame(mapped, index=expression.index, columns=genes)
    return out


WITHOUT_QUANTILES = (
    "apply.align: 'quantile' needs quantiles of the training patients, which this bundle does not have; make the bundle "
    "again, or set it to median"
)


def quantiles_of(expression: pd.DataFrame) -> pd.DataFrame:
    """genes × `LEVELS`: quantiles over patients, missing values left out."""
    return expression.quantile(LEVELS).T.set_axis(range(len(LEVELS)), axis=1)


def quantile_map(values: np.ndarray, target: pd.Series | np.ndarray) -> np.ndarray:
    """One gene's values, their quantiles at `LEVELS` moved to those of training; increasing, linear in between.

    Parameters
    ----------
    values : (n,) float64, NaN where missing; some are known. target : (len(LEVELS),) quantiles of training.

    Returns
    -------
    (n,) float64. A value that several levels share (zeros, mostly) goes to the mean of theirs.
    """
    source, wanted = np.nanquantile(values, LEVELS), np.asarray(target, dtype=np.float64)
    at, place = np.unique(source, return_inverse=True)
    to = np.bincount(place, weights=wanted) / np.bincount(place)
    inside = np.interp(values, at, to)
    beyond = np.where(values < at[0], values - at[0], np.where(values > at[-1], values - at[-1], 0.0))
    return np.where(np.isnan(values), np.nan, inside + beyond)
