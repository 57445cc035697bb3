"""Sets of classes that hold the true one with a chosen probability, and how often they did."""

from __future__ import annotations

import numpy as np
import pandas as pd

from histoweave.apply.ensemble import OK
from histoweave.class_sets import joined, parted
from histoweave.evaluation.binomial import clopper_pearson

COVERAGE_TYPES = {
    "model": "str", "level": "float64", "scope": "str", "coverage": "float64", "ci_low": "float64",
    "ci_high": "float64", "mean_set_size": "float64", "n": "int64", "singletons": "int64", "empty": "int64",
}  # fmt: skip


def prediction_sets(
    members: pd.DataFrame, scores: pd.DataFrame, *, classes: list[str], level: float
) -> dict[tuple[str, str], str]:
    """(model, patient) → the classes of the set (`class_sets.joined`); models without scores have none.

    Cross-conformal prediction (Vovk, Ann Math Artif Intell 2015;74:9): each fold model compares its own score of a class,
    1 − p, with the scores of the training patients that it had not seen. A class is in the set unless the share of those
    scores that are at least as large, over all folds, (1 + Σ) / (1 + n), is 1 − `level` or less.

    Parameters
    ----------
    members : `model`, `fold`, `patient`, `p_<class>` of each fold model.
    scores : `model`, `fold`, `score`: 1 − p of the true class of each fold's test patients.
    """
    found = {}
    columns = [f"p_{label}" for label in classes]
    known = {key: np.sort(rows["score"].to_numpy(np.float64)) for key, rows in scores.groupby(["model", "fold"])}
    n_scores = scores.groupby("model").size()
    for model, rows in members.groupby("model", sort=False):
        if model not in n_scores:
            continue
        counted = pd.DataFrame(0.0, index=sorted(rows["patient"].unique()), columns=columns)
        for fold, part in rows.groupby("fold"):
            seen = known.get((model, fold), np.empty(0))
            larger = len(seen) - np.searchsorted(seen, 1 - part[columns].to_numpy(), side="left")
            counted.loc[part["patient"]] += larger
        share = (1 + counted) / (1 + n_scores[model])
        for patient, kept in zip(share.index, (share > 1 - level).to_numpy(), strict=True):
            found[model, patient] = joined(label for label, inside in zip(classes, kept, strict=True) if inside)
    return found


def coverage(predictions: pd.DataFrame, *, level: float, confidence: float) -> pd.DataFrame:
    """How often the sets held the true class, over all patients, each class and each site (`COVERAGE_TYPES`).

    Parameters
    ----------
    predictions : of the ensemble, with `set`; rows without a label that the models know, or without a set, do not count.
    """
    scored = predictions[(predictions["status"] == OK) & predictions["y_true"].notna() & predictions["set"].notna()]
    rows = []
    for model, part in scored.groupby("model", sort=False):
        scopes = [("pooled", part)]
        scopes += [(f"class:{name}", group) for name, group in part.groupby("y_true")]
        scopes += [(f"site:{name}", group) for name, group in part.groupby("site")]
        rows += [(model, level, scope, *_covered(group, confidence)) for scope, group in scopes]
    return pd.DataFrame(rows, columns=list(COVERAGE_TYPES)).astype(COVERAGE_TYPES)


def _covered(part: pd.DataFrame, confidence: float) -> tuple[float, float, float, float, int, int, int]:
    sets = [parted(text) for text in part["set"]]
    sizes = np.array([len(names) for names in sets])
    hits = sum(truth in names for truth, names in zip(part["y_true"], sets, strict=True))
    low, high = clopper_pearson(hits, len(part), confidence=confidence)
    return hits / len(part), low, high, float(sizes.mean()), len(part), int((sizes == 1).sum()), int((sizes == 0).sum())
