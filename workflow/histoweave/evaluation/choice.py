"""Intervals that allow for choosing among models: one critical value for a whole family of questions.

The largest standardised deviation over a family (max-t; Romano & Wolf 2005, Econometrica 73:1237) takes the place of
the single one, so that all intervals of the family hold together with the stated confidence, whichever model is looked
at afterwards. The draws are those of `bootstrap`: of clusters where the predictions name them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtrit

from histoweave.evaluation.bootstrap import FEW_CLUSTERS, MAX_UNDEFINED
from histoweave.evaluation.evaluate import pooled_scope
from histoweave.evaluation.metrics import auroc
from histoweave.evaluation.sample import Sample
from histoweave.fusion import catalog
from histoweave.settings.evaluation import Evaluation

# Each model against an AUROC of 0.5; models of both modalities minus models of one; all other pairs.
MODELS, FUSION_SINGLE, PAIRS = "models", "fusion_single", "pairs"
CHOICE_TYPES = dict.fromkeys(("family", "model_a", "model_b"), "str") | {
    **dict.fromkeys(("estimate", "ci_low", "ci_high"), "float64"),
    **dict.fromkeys(("n", "looked_at"), "int64"),
}
_NO_SPREAD = 1e-9  # a standard error below it comes from draws that are all the same
_EDGE = 1e-12


def choose(
    predictions: pd.DataFrame,
    *,
    classes: list[str],
    order: Sequence[str],
    modalities: Sequence[str],
    settings: Evaluation,
    seed: int,
) -> pd.DataFrame:
    """Simultaneous intervals of the pooled AUROC of every model that can differ from chance, and of their differences.

    Parameters
    ----------
    predictions : pooled test rows (`evaluate.pool`), checked by `evaluate.evaluate`.
    classes : labels in order of the probability columns; the last of two is the positive one.
    order : models in the order of the tables; of two models with equally many modalities the later minus the earlier.
    modalities : those that any of the models reads; the patients that have them all are scored.

    Returns
    -------
    One row per question: `family` (`models`, `fusion_single`, `pairs`), `model_a`, `model_b` (empty in `models`),
    `estimate` (AUROC, or its difference a - b), `ci_low`, `ci_high` (NaN with too few patients), `n` patients,
    `looked_at` (questions in the family).
    """
    pooled = predictions[pooled_scope(predictions, modalities)]
    scored = set(pooled["model"])
    models = [model for model in order if model in scored and catalog.get(model).modalities]
    if not models:
        return pd.DataFrame(columns=list(CHOICE_TYPES)).astype(CHOICE_TYPES)
    drawn = [
        Sample.of(pooled[pooled["model"] == model], classes).bootstrap(
            {"auroc": auroc}, draws=settings.bootstrap, seed=seed
        )
        for model in models
    ]
    estimate, draws = np.concatenate([one for one, _ in drawn]), np.column_stack([many for _, many in drawn])
    how: dict[str, Any] = {"confidence": settings.confidence, **_units(pooled)}
    low, high = _of_models(estimate, draws, counts=class_counts(pooled, classes), **how)
    single, other = _pairs(models)
    tables = [_table(MODELS, [(model, "") for model in models], estimate, low, high)]
    for family, pairs in ((FUSION_SINGLE, single), (PAIRS, other)):
        if pairs:
            names = [(models[a], models[b]) for a, b in pairs]
            tables.append(_table(family, names, *_of_pairs(pairs, estimate, draws, low, high, **how)))
    return pd.concat(tables, ignore_index=True).assign(n=pooled["patient"].nunique())[list(CHOICE_TYPES)]


def class_counts(pooled: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    """Scored patients of each class, each patient once, of pooled predictions of any number of models."""
    counts = pooled.drop_duplicates("patient")["y_true"].value_counts()
    return {label: int(counts.get(label, 0)) for label in classes}


def simultaneous(
    estimate: np.ndarray, draws: np.ndarray, *, confidence: float, units: int, student: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """Half widths (K,) of max-t intervals, which questions have spread (K,) bool, and the critical value.

    The (confidence) quantile, over draws, of the largest |draw - estimate| / standard error, turned into the quantile
    of Student's t with `units` - 1 degrees of freedom that has the same tail: few units make standard errors
    uncertain. Draws that are distributed as Student's t themselves need no turning. It is at most that of Bonferroni. Questions
    whose draws are all the same have no spread and a half width of 0; if there are any, it is that of Bonferroni. Questions
    of which over 20 % of the draws are undefined are NaN.

    Parameters
    ----------
    estimate, draws : (K,) and (B, K) float64.
    units : patients, or clusters where those are drawn.
    student : the draws are of Student's t with `units` - 1 degrees of freedom, as those of few clusters are.
    """
    half, spread = np.full(len(estimate), np.nan), np.zeros(len(estimate), dtype=bool)
    known = ~np.isnan(estimate) & (np.isnan(draws).mean(axis=0) <= MAX_UNDEFINED)
    used = draws[:, known]
    used = used[~np.isnan(used).any(axis=1)]
    if units < 2 or not known.any() or len(used) < 2:
        return half, spread, np.nan
    if student:
        error = np.median(np.abs(used - estimate[known]), axis=0) / stdtrit(units - 1, 0.75)
    else:
        error = used.std(axis=0, ddof=1)
    spread[known] = error > _NO_SPREAD
    tail = (1 - confidence) / 2 / known.sum()
    critical = -stdtrit(units - 1, tail) if student else -ndtri(tail)
    if spread.any():
        within = spread[known]
        largest = (np.abs(used[:, within] - estimate[spread]) / error[within]).max(axis=1)
        # Draws of a nearly perfect score are skewed and would widen the intervals of all others; its own comes from a
        # closed form. Bonferroni's value holds for any dependence, so nothing larger is needed.
        critical = min(np.quantile(largest, confidence), critical) if within.all() else critical
    if not student:
        critical, error = -stdtrit(units - 1, ndtr(-critical)), error * np.sqrt(units / (units - 1))
    half[known] = critical * error
    return half, spread, float(critical)


def score_interval(estimate: float, n_positive: int, n_negative: int, critical: float) -> tuple[float, float]:
    """Closed-form interval of an AUROC that is not of width zero at 0 and 1 (Newcombe 2006, Stat Med 25:559, method 5).

    All theta with |estimate - theta| <= critical * sqrt(V(theta)), where V is Hanley and McNeil's (1982) variance with
    N = (n_positive + n_negative) / 2 for both numbers in its bracket: V = theta (1 - theta) [1 + (N - 1) ((1 - theta) /
    (2 - theta) + theta / (1 + theta))] / (n_positive n_negative).
    """
    from scipy.optimize import brentq

    def beyond(theta: float, of: float) -> float:
        mean = (n_positive + n_negative) / 2
        bracket = 1 + (mean - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (of - theta) ** 2 - critical**2 * theta * (1 - theta) * bracket / (n_positive * n_negative)

    def low(of: float) -> float:
        return 0.0 if of < 2 * _EDGE else float(brentq(beyond, 0.0, of - _EDGE, args=(of,)))

    return low(estimate), 1 - low(1 - estimate)


def perfect_low(counts: Mapping[str, int], *, confidence: float, looked_at: int) -> float:
    """The lower bound that a model would get which tells the classes apart without an error, of `looked_at` models.

    NaN without two classes. At or below 0.5: so few patients that nothing can be told.
    """
    return _score_intervals(1.0, counts, -ndtri((1 - confidence) / 2 / max(looked_at, 1)))[0]


def _score_intervals(estimate: float, counts: Mapping[str, int], critical: float) -> tuple[float, float]:
    """Mean of `score_interval` over the classes, each against the rest: for two classes, that of either."""
    n = sum(counts.values())
    bounds = [score_interval(estimate, m, n - m, critical) for m in counts.values() if 0 < m < n]
    return tuple(np.mean(bounds, axis=0)) if bounds else (np.nan, np.nan)


def _units(pooled: pd.DataFrame) -> dict[str, int | bool]:
    """How many independent units are drawn (clusters where the predictions name them, else patients), and whether they
    are so few clusters that the draws are of Student's t already."""
    patients = pooled["patient"].nunique()
    units = pooled["cluster"].nunique() if "cluster" in pooled else patients
    return {"units": units, "student": units < min(FEW_CLUSTERS, patients)}


def _of_models(
    estimate: np.ndarray, draws: np.ndarray, *, counts: Mapping[str, int], **how: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of AUROCs: the wider of max-t and closed form at each end, since a bootstrap of a (nearly) perfect
    score sees (nearly) no error and says nothing of those that a larger cohort would hold."""
    half, _, critical = simultaneous(estimate, draws, **how)
    low, high = estimate - half, estimate + half
    for k in np.flatnonzero(~np.isnan(half)):
        closed_low, closed_high = _score_intervals(estimate[k], counts, critical)
        low[k], high[k] = min(low[k], closed_low), max(high[k], closed_high)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def _of_pairs(
    pairs: list[tuple[int, int]],
    estimate: np.ndarray,
    draws: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    **how: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences and their intervals; `low`, `high` are those of the models.

    A difference without spread (two perfect models) gets the interval of two models that know nothing of each other,
    by the distances to their own bounds (Zou & Donner 2008, Stat Med 27:1693).
    """
    a, b = np.array(pairs).T
    difference = estimate[a] - estimate[b]
    half, spread, _ = simultaneous(difference, draws[:, a] - draws[:, b], **how)
    apart = np.hypot(estimate[a] - low[a], high[b] - estimate[b]), np.hypot(high[a] - estimate[a], estimate[b] - low[b])
    below, above = (np.where(spread | np.isnan(half), half, closed) for closed in apart)
    return difference, np.clip(difference - below, -1, 1), np.clip(difference + above, -1, 1)


def _pairs(models: Sequence[str]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Places of both models: pairs of a fusion model and a model of one modality, and the others, later first."""
    of_both = [len(catalog.get(model).modalities) > 1 for model in models]
    places = range(len(models))
    mixed = [(a, b) for a in places for b in places if of_both[a] and not of_both[b]]
    return mixed, [(a, b) for a in places for b in range(a) if of_both[a] == of_both[b]]


def _table(
    family: str, names: list[tuple[str, str]], estimate: np.ndarray, low: np.ndarray, high: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame(names, columns=["model_a", "model_b"])
    return table.assign(family=family, estimate=estimate, ci_low=low, ci_high=high, looked_at=len(names))
