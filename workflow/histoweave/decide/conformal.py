"""Conformal sets: the classes that cannot be ruled out at a level of coverage.

Split conformal classification with the score 1 − p of the true class (LAC: Sadinle, Lei & Wasserman 2019, JASA
114:223; Vovk et al. 2005; Angelopoulos & Bates 2021, arXiv 2107.07511). If the calibration patients and the new one are
exchangeable, the set holds the true class with at least the level's probability. A set may be empty: then no class is
as likely as the true classes of the calibration patients were.

A threshold of all patients promises coverage on average over the classes. A threshold for each class, from the
calibration patients of that class alone, promises it within every class (`CLASS`; Mondrian or label-conditional
prediction: Vovk, Gammerman & Shafer 2005, ch. 4.5; Vovk 2012, ACML, PMLR 25:475). A class with too few patients for the
level (`least_patients`) cannot be ruled out: it is in every such set.

Inside the cohort a fold's threshold comes from the out-of-fold scores of the *other* folds (cross-conformal prediction,
Vovk 2015), so nobody calibrates the own set. That is valid up to the difference between the folds' models; the
coverage is therefore measured.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from histoweave.decide.class_sets import CLASS, MARGINAL, joined
from histoweave.evaluation.binomial import clopper_pearson
from histoweave.evaluation.sample import probabilities

_ROUNDING = 1e-9  # (n + 1) · level is often meant to be whole, and is not in binary


def threshold(scores: np.ndarray, level: float) -> float:
    """The ⌈(m + 1) · level⌉-th smallest of m scores; infinite if there are too few for the level.

    Raises
    ------
    ValueError
        for scores that are not finite, or a level that is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level is {level}; it must lie between 0 and 1")
    if not np.isfinite(scores).all():
        raise ValueError("a conformal score is not finite")
    rank = math.ceil((len(scores) + 1) * level - _ROUNDING)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def sets(probabilities: np.ndarray, scores: np.ndarray, level: float) -> np.ndarray:
    """Which classes are in each patient's set, (n, C) bool.

    Parameters
    ----------
    probabilities : (n, C) float64 of new patients, calibrated as those behind the scores were.
    scores : (m,) float64, 1 − p of the true class of m calibration patients, one per patient.
    level : coverage asked for, between 0 and 1. Fewer than level / (1 − level) scores give every class.
    """
    return 1 - probabilities <= threshold(scores, level)


def sets_by_class(probabilities: np.ndarray, scores: np.ndarray, truth: np.ndarray, level: float) -> np.ndarray:
    """As `sets`, each class held against the calibration patients of that class only, (n, C) bool.

    Parameters
    ----------
    probabilities, scores, level : as in `sets`.
    truth : (m,) int, the class of each calibration patient.
    """
    limits = [threshold(scores[truth == label], level) for label in range(probabilities.shape[1])]
    return 1 - probabilities <= np.array(limits)


def least_patients(level: float) -> int:
    """Calibration patients from which on a threshold rules anything out: m ≥ 1 / (1 − level) − 1."""
    return math.ceil(1 / (1 - level) - 1 - _ROUNDING)


def always_inside(n_scores: pd.DataFrame, classes: list[str], level: float) -> dict[str, int]:
    """Class → calibration patients, of the classes that have too few to be ruled out at a level.

    Parameters
    ----------
    n_scores : `y_true`, `n`: calibration patients of each class, a row for each fold that is calibrated by them.
    """
    least = n_scores.groupby("y_true")["n"].min().reindex(classes, fill_value=0)
    return {label: int(n) for label, n in least.items() if n < least_patients(level)}


def class_counts(scores: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """`y_true`, `n`: how many patients of the other folds calibrate each class of each fold (`conformal_scores` of one
    model)."""
    folds = scores[["repeat", "fold"]].drop_duplicates()
    rows = []
    for repeat, fold in folds.itertuples(index=False):
        others = scores[(scores["repeat"] == repeat) & (scores["fold"] != fold)]["y_true"]
        rows += [(label, int((others == label).sum())) for label in classes]
    return pd.DataFrame(rows, columns=["y_true", "n"])


def conformal_scores(calibrated: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """`model`, `patient`, `repeat`, `fold`, `y_true`, `score` of out-of-fold test rows; both kinds of sets read them."""
    p = probabilities(calibrated, classes)
    own = p[np.arange(len(p)), pd.Index(classes).get_indexer(calibrated["y_true"])]
    columns = ["model", "patient", "repeat", "fold", "y_true"]
    return calibrated[columns].assign(score=1 - own).reset_index(drop=True)


def cross_sets(calibrated: pd.DataFrame, classes: list[str], levels: list[float]) -> pd.DataFrame:
    """Each test patient's set of each kind (`MARGINAL`, `CLASS`) at each level: `model`, `patient`, `repeat`, `fold`, `y_true`, `level`,
    `kind`, `set` (`class_sets.joined`), `size`, `covered`."""
    scored = conformal_scores(calibrated, classes)["score"].to_numpy()
    p = probabilities(calibrated, classes)
    truth = pd.Index(classes).get_indexer(calibrated["y_true"])
    folds = calibrated["fold"].to_numpy()
    parts = []
    for _, rows in calibrated.reset_index(drop=True).groupby(["model", "repeat"], sort=False).indices.items():
        for fold in np.unique(folds[rows]):
            own, others = rows[folds[rows] == fold], rows[folds[rows] != fold]
            for level in levels:
                for kind, inside in (
                    (MARGINAL, sets(p[own], scored[others], level)),
                    (CLASS, sets_by_class(p[own], scored[others], truth[others], level)),
                ):
                    part = calibrated.iloc[own][["model", "patient", "repeat", "fold", "y_true"]]
                    named = [joined(np.array(classes)[row]) for row in inside]
                    covered = inside[np.arange(len(own)), truth[own]]
                    columns = {"set": named, "size": inside.sum(axis=1), "covered": covered}
                    parts.append(part.assign(level=level, kind=kind, **columns))
    return pd.concat(parts, ignore_index=True)


def coverage(found: pd.DataFrame, *, patients: pd.DataFrame, classes: list[str], confidence: float) -> pd.DataFrame:
    """Measured coverage per model, level and kind: of all, per class and per site.

    Parameters
    ----------
    found : as of `cross_sets`; every patient that the model predicts.
    patients : `patient` and, for the sites, `site`.

    Returns
    -------
    `model`, `level`, `kind`, `scope`, `coverage`, `ci_low`, `ci_high` (Clopper–Pearson over patients), `mean_set_size`, `n`
    (patients), `singletons`, `empty` (patients whose set holds one class, none; over repeats the mean).
    """
    found = found.assign(pooled="pooled", site="")
    if "site" in patients:
        found["site"] = found["patient"].map(patients.set_index("patient")["site"])
    rows = []
    for (model, level, kind), table in found.groupby(["model", "level", "kind"], sort=False):
        scopes = [("pooled", table)]
        scopes += [(f"class:{label}", table[table["y_true"] == label]) for label in classes]
        if "site" in patients:
            scopes += [(f"site:{site}", part) for site, part in table.groupby("site")]
        for scope, part in scopes:
            if len(part):
                rows.append(
                    {"model": model, "level": level, "kind": kind, "scope": scope, **_covered(part, confidence)}
                )
    return pd.DataFrame(rows)


def _covered(part: pd.DataFrame, confidence: float) -> dict[str, float]:
    n, share = part["patient"].nunique(), part["covered"].mean()
    low, high = clopper_pearson(share * n, n, confidence=confidence)
    return {
        "coverage": share,
        "ci_low": low,
        "ci_high": high,
        "mean_set_size": part["size"].mean(),
        "n": n,
        "singletons": (part["size"] == 1).mean() * n,
        "empty": (part["size"] == 0).mean() * n,
    }
