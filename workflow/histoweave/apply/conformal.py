"""Sets of classes that hold the true one with a chosen probability, and how often they did."""

from __future__ import annotations

import numpy as np
import pandas as pd

from histoweave.apply.compatibility import Check
from histoweave.apply.statuses import OK
from histoweave.decide.class_sets import CLASS, MARGINAL, joined, parted
from histoweave.decide.conformal import always_inside, least_patients
from histoweave.evaluation.binomial import clopper_pearson

SET_COLUMNS = {MARGINAL: "set", CLASS: "set_class"}  # of predictions.parquet
_ROUNDING = 1e-9  # 1 − level is often meant to be a share of patients, and is not in binary
COVERAGE_TYPES = {
    "model": "str", "level": "float64", "kind": "str", "scope": "str", "coverage": "float64", "ci_low": "float64",
    "ci_high": "float64", "mean_set_size": "float64", "n": "int64", "singletons": "int64", "empty": "int64",
}  # fmt: skip


def prediction_sets(
    members: pd.DataFrame, scores: pd.DataFrame, *, classes: list[str], level: float, kind: str = MARGINAL
) -> dict[tuple[str, str], str]:
    """(model, patient) → the classes of the set (`decide.class_sets.joined`); models without scores have none.

    Cross-conformal prediction (Vovk, Ann Math Artif Intell 2015;74:9): each fold model compares its own score of a class,
    1 − p, with the scores of the training patients that it had not seen. A class is in the set unless the share of those
    scores that are at least as large, over all folds, (1 + Σ) / (1 + n), is 1 − `level` or less. By class (Vovk 2012, PMLR
    25:475) only training patients of that class count, and a class with too few of them is in every set.

    Parameters
    ----------
    members : `model`, `fold`, `patient`, `p_<class>` of each fold model.
    scores : `model`, `fold`, `score`: 1 − p of the true class of each fold's test patients; by class also `y_true`.
    kind : `decide.class_sets.MARGINAL` or `CLASS`.
    """
    found = {}
    for model, rows in members.groupby("model", sort=False):
        own = scores[scores["model"] == model]
        if own.empty:
            continue
        counted = {label: own if kind == MARGINAL else own[own["y_true"] == label] for label in classes}
        share = pd.DataFrame({label: _share(rows, counted[label], label) for label in classes})
        for patient, kept in zip(share.index, (share > 1 - level + _ROUNDING).to_numpy(), strict=True):
            found[model, patient] = joined(label for label, inside in zip(classes, kept, strict=True) if inside)
    return found


def _share(members: pd.DataFrame, scores: pd.DataFrame, label: str) -> pd.Series:
    """Patient → (1 + Σ) / (1 + n) of a class: `members` and `scores` of one model."""
    known = {fold: np.sort(rows["score"].to_numpy(np.float64)) for fold, rows in scores.groupby("fold")}
    larger = pd.Series(0.0, index=sorted(members["patient"].unique()))
    for fold, part in members.groupby("fold"):
        seen = known.get(fold, np.empty(0))
        larger.loc[part["patient"]] += len(seen) - np.searchsorted(seen, 1 - part[f"p_{label}"].to_numpy(), side="left")
    return (1 + larger) / (1 + len(scores))


def check_classes(scores: pd.DataFrame | None, *, classes: list[str], level: float) -> list[Check]:
    """Whether each class has training patients enough for sets by class; of the model that has fewest."""
    if scores is None or "y_true" not in scores:
        return []
    n_scores = scores.groupby(["model", "y_true"]).size().unstack(fill_value=0).reindex(columns=classes, fill_value=0)
    few = always_inside(n_scores.melt(var_name="y_true", value_name="n"), classes, level)
    if not few:
        return [Check("sets by class", "ok", f"each class has training patients enough for a level of {level:.0%}")]
    named = ", ".join(f"{label} ({n})" for label, n in few.items())
    return [
        Check(
            "sets by class", "warn",
            f"fewer than {least_patients(level)} training patients, which a level of {level:.0%} needs: {named}; such a "
            "class is in every set by class",
        )
    ]  # fmt: skip


def coverage(predictions: pd.DataFrame, *, level: float, confidence: float) -> pd.DataFrame:
    """How often the sets held the true class, over all patients, each class and each site (`COVERAGE_TYPES`).

    Parameters
    ----------
    predictions : of the ensemble, with the columns of `SET_COLUMNS`; rows without a label that the models know, or
        without a set, do not count.
    """
    scored = predictions[(predictions["status"] == OK) & predictions["y_true"].notna()]
    rows = []
    for model, every in scored.groupby("model", sort=False):
        for kind, column in SET_COLUMNS.items():
            part = every[every[column].notna()]
            scopes = [("pooled", part)] if len(part) else []
            scopes += [(f"class:{name}", group) for name, group in part.groupby("y_true")]
            scopes += [(f"site:{name}", group) for name, group in part.groupby("site")]
            rows += [(model, level, kind, scope, *_covered(group, column, confidence)) for scope, group in scopes]
    return pd.DataFrame(rows, columns=list(COVERAGE_TYPES)).astype(COVERAGE_TYPES)


def _covered(part: pd.DataFrame, column: str, confidence: float) -> tuple[float, float, float, float, int, int, int]:
    sets = [parted(text) for text in part[column]]
    sizes = np.array([len(names) for names in sets])
    hits = sum(truth in names for truth, names in zip(part["y_true"], sets, strict=True))
    low, high = clopper_pearson(hits, len(part), confidence=confidence)
    return hits / len(part), low, high, float(sizes.mean()), len(part), int((sizes == 1).sum()), int((sizes == 0).sum())
