"""AUROC over pairs of patients of one stratum: what a score tells beyond what the stratum tells already.

A pair of patients counts if both are of the same stratum (a site, or a true class in one fold). Pairs of all strata
are added up before the ratio is taken, so a stratum weighs as much as it has pairs (the stratified Mann–Whitney form
of van Elteren 1960 with weights by pairs). More than two classes: the mean of each against the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.evaluation.metrics import concordance
from histoweave.settings.evaluation import Evaluation

# Fewer pairs that have no patient in common say nothing with any certainty.
LEAST_PAIRS = 5
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Part:
    """Patients who are compared: one part per repeat of the cross-validation.

    Attributes
    ----------
    patient : (m,) int, position among the patients that are drawn. y : (m,) int, what the score is to tell.
    score : (m, C) float64, one column per value of `y`. stratum : (m,) int; pairs are formed within it.
    """

    patient: np.ndarray
    y: np.ndarray
    score: np.ndarray
    stratum: np.ndarray


@dataclass(frozen=True)
class Answer:
    """An AUROC with its interval; NaN where there is none, and why."""

    estimate: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    reason: str = ""


def _columns(n_classes: int) -> list[int]:
    """The columns that are looked at: of two classes the last, else each against the rest."""
    return [1] if n_classes == 2 else list(range(n_classes))


def _macro(won: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Mean over the last axis of won / pairs where there are pairs; NaN where there are none."""
    defined = pairs > 0
    ratio = np.divide(won, pairs, out=np.zeros(won.shape), where=defined)
    n = defined.sum(axis=-1)
    return np.divide(ratio.sum(axis=-1), n, out=np.full(n.shape, np.nan), where=n > 0)


def stratified_auroc(y: np.ndarray, score: np.ndarray, stratum: np.ndarray, w: np.ndarray) -> np.ndarray:
    """AUROC over pairs within strata under weights `w` (B, n): (B,) float64, NaN without a pair.

    Parameters
    ----------
    y : (n,) int. score : (n, C) float. stratum : (n,) int.
    """
    columns = _columns(score.shape[1])
    won, pairs = np.zeros((len(w), len(columns))), np.zeros((len(w), len(columns)))
    for one in np.unique(stratum):
        of = np.flatnonzero(stratum == one)
        present = set(y[of])
        if len(present) < 2:
            continue
        weights = w[:, of]
        for k, c in enumerate(columns):
            if c in present:
                right, all_pairs = concordance(score[of, c], y[of] == c, weights)
                won[:, k] += right
                pairs[:, k] += all_pairs
    return _macro(won, pairs)


def rank_auroc(y: np.ndarray, score: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """`stratified_auroc` of unweighted patients for many assignments at once: (B,) float64.

    Parameters
    ----------
    y : (B, n) int. score : (B, n, C) float: each assignment has scores of its own. stratum : (n,) int.
    """
    columns = _columns(score.shape[2])
    won, pairs = np.zeros((len(y), len(columns))), np.zeros((len(y), len(columns)))
    for one in np.unique(stratum):
        of = np.flatnonzero(stratum == one)
        own = score[:, of][:, :, columns].transpose(0, 2, 1)
        ranks = pd.DataFrame(own.reshape(-1, len(of))).rank(axis=1).to_numpy().reshape(own.shape).transpose(0, 2, 1)
        is_class = y[:, of, None] == np.array(columns)
        positives = is_class.sum(axis=1)
        won += (ranks * is_class).sum(axis=1) - positives * (positives + 1) / 2
        pairs += positives * (len(of) - positives)
    return _macro(won, pairs)


def disjoint_pairs(part: Part) -> int:
    """How many pairs within strata have no patient in common: the least over the columns that have any."""
    counts = []
    for c in _columns(part.score.shape[1]):
        positive = part.y == c
        n = 0
        for one in np.unique(part.stratum):
            of = positive[part.stratum == one]
            n += int(min(of.sum(), (~of).sum()))
        counts.append(n)
    return min((n for n in counts if n), default=0)


def answer(
    parts: list[Part], n: int, *, settings: Evaluation, seed: int, null: np.ndarray | None = None, nothing: str = ""
) -> Answer:
    """The mean over parts of the stratified AUROC, with a percentile interval over draws of patients.

    An AUROC of 1 (or 0) has a bound in place of the draws, which are all the same: of m pairs without a patient in
    common, all of which are in order, the share in order is at least (α/2)^(1/m) (Clopper & Pearson 1934).

    Parameters
    ----------
    n : patients that are drawn.
    null : (P,) the same statistic on permuted values. The interval excludes 0.5 from below only if fewer than α/2 of
        the permutations reach the estimate: its lower end is 0.5 at most otherwise.
    nothing : the reason where no two patients can be compared.
    """

    def statistic(w: np.ndarray) -> np.ndarray:
        scores = [stratified_auroc(part.y, part.score, part.stratum, w[:, part.patient]) for part in parts]
        return np.mean(scores, axis=0)[:, None]

    estimate, draws = bootstrap(statistic, n, draws=settings.bootstrap, seed=seed)
    value = float(estimate[0])
    if np.isnan(value):
        return Answer(reason=nothing)
    pairs = min(map(disjoint_pairs, parts))
    if pairs < LEAST_PAIRS:
        return Answer(value, reason=f"no interval: fewer than {LEAST_PAIRS} pairs of patients to compare")
    low, high = (float(end[0]) for end in interval(draws, confidence=settings.confidence))
    if np.isnan(low):
        return Answer(value, reason="no interval: too few patients")
    tail = (1 - settings.confidence) / 2
    if high - low < _ROUNDING:
        if _ROUNDING < value < 1 - _ROUNDING:
            return Answer(value, reason="no interval: all patients who are compared have the same score")
        bound = tail ** (1 / pairs)
        low, high = (bound, 1.0) if value > 0.5 else (0.0, 1 - bound)
    if null is not None and (1 + (null >= value - _ROUNDING).sum()) / (1 + len(null)) > tail:
        low = min(low, 0.5)
    return Answer(value, low, high)
