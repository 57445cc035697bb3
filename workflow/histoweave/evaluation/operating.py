"""What a model reaches as a test: sensitivity, specificity and predictive values at a threshold chosen beforehand.

The threshold of a fold comes from its validation patients alone (maximum of the Youden index, sensitivity + specificity
− 1; Youden 1950, Cancer 3:32) and is applied to its test patients, who had no part in the choice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histoweave.evaluation.binomial import clopper_pearson, korn_graubard
from histoweave.evaluation.evaluate import pooled_scope
from histoweave.evaluation.roc import told_apart
from histoweave.fusion import catalog

THRESHOLD_TYPES = {
    "model": "str", "class": "str", "repeat": "int64", "fold": "int64", "threshold": "float64", "youden": "float64",
    "n_val": "int64", "n_val_class": "int64", "weights_saw": "bool", "reason": "str",
}  # fmt: skip
MEASURES = ("sensitivity", "specificity", "ppv", "npv")
COUNTS = ("tp", "fp", "tn", "fn")
OPERATING_TYPES = {
    "model": "str", "class": "str", "measure": "str",
    **dict.fromkeys(("estimate", "ci_low", "ci_high", "n", *COUNTS), "float64"), "reason": "str",
}  # fmt: skip
# measure: what is right, and what else is in its denominator.
_SHARES = {"sensitivity": ("tp", "fn"), "specificity": ("tn", "fp"), "ppv": ("tp", "fp"), "npv": ("tn", "fn")}


@dataclass(frozen=True)
class Choice:
    """A threshold (positive from there on) and its Youden index, or the reason why there is none (then both NaN)."""

    threshold: float
    youden: float
    reason: str = ""


def choose(is_class: np.ndarray, scores: np.ndarray) -> Choice:
    """The threshold with the largest Youden index; of several the middle one, of an even number the lower middle one.

    Candidates lie halfway between neighbouring distinct scores, so that both calls occur.

    Parameters
    ----------
    is_class : (n,) bool. scores : (n,) probability of the class.
    """
    if is_class.all() or not is_class.any():
        who = "all" if len(is_class) and is_class.all() else "none"
        return Choice(np.nan, np.nan, f"{who} of the {len(is_class)} validation patients have the class")
    values = np.unique(scores)
    if len(values) < 2:
        return Choice(np.nan, np.nan, "all validation patients have the same probability")
    candidates = (values[:-1] + values[1:]) / 2
    # Two neighbouring numbers of the machine have no number between them.
    candidates = np.where(candidates <= values[:-1], values[1:], candidates)
    positive = scores[None, :] >= candidates[:, None]
    hits, alarms = positive[:, is_class].sum(axis=1), positive[:, ~is_class].sum(axis=1)
    # Whole numbers, so that what is tied is found to be tied.
    n_class, n_rest = int(is_class.sum()), int((~is_class).sum())
    lead = hits * n_rest - alarms * n_class
    best = np.flatnonzero(lead == lead.max())
    chosen = best[(len(best) - 1) // 2]
    return Choice(float(candidates[chosen]), float(lead[chosen] / (n_class * n_rest)))


def operating_points(
    folds: list[tuple[str, pd.DataFrame]], *, classes: list[str], modalities: Collection[str], confidence: float
) -> dict[str, pd.DataFrame]:
    """The tables `operating` and `operating_thresholds` (docs/artefacts.md), of the pooled scope.

    Parameters
    ----------
    folds : model and `predictions.parquet` (all roles) of each fold, with `clusters.with_clusters`.
    modalities : those that any model of the run reads; patients without one of them do not count, in either part.
    confidence : of the intervals, which take thresholds as they are: Clopper–Pearson's, and Korn and Graubard's where
        clusters are sites.
    """
    rows = pd.concat([table.assign(model=model) for model, table in folds], ignore_index=True)
    rows = rows[pooled_scope(rows, modalities)]
    thresholds = _thresholds(rows, classes)
    return {"operating": _points(rows, thresholds, confidence=confidence), "operating_thresholds": thresholds}


def _thresholds(rows: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    found = []
    for (model, repeat, fold), part in rows.groupby(["model", "repeat", "fold"], sort=False):
        validation = part[part["role"] == "val"]
        for label in told_apart(classes):
            is_class = (validation["y_true"] == label).to_numpy()
            choice = choose(is_class, validation[f"p_{label}"].to_numpy(dtype=np.float64))
            found.append(
                {
                    "model": model, "class": label, "repeat": repeat, "fold": fold, "threshold": choice.threshold,
                    "youden": choice.youden, "n_val": len(validation), "n_val_class": int(is_class.sum()),
                    "weights_saw": catalog.get(model).refitted, "reason": choice.reason,
                }
            )  # fmt: skip
    return pd.DataFrame(found, columns=list(THRESHOLD_TYPES)).astype(THRESHOLD_TYPES)


def _points(rows: pd.DataFrame, thresholds: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Counts over the test patients of the folds that have a threshold, as means over the repeats."""
    test = {key: part for key, part in rows[rows["role"] == "test"].groupby(["model", "repeat", "fold"])}
    of_sites, sites = (rows["cluster"] != rows["patient"]).any(), pd.Index(sorted(rows["cluster"].unique()))
    found = []
    for (model, label), choices in thresholds.groupby(["model", "class"], sort=False):
        counts = pd.DataFrame(0.0, index=sites, columns=list(COUNTS))
        for choice in choices[choices["reason"] == ""].to_dict("records"):
            part = test.get((model, choice["repeat"], choice["fold"]))
            if part is None:
                continue
            is_class = (part["y_true"] == label).to_numpy()
            positive = part[f"p_{label}"].to_numpy(dtype=np.float64) >= choice["threshold"]
            pairs = {"tp": positive & is_class, "fp": positive & ~is_class, "tn": ~(positive | is_class)}
            pairs["fn"] = ~positive & is_class
            of_site = pd.DataFrame(pairs).groupby(part["cluster"].to_numpy()).sum()
            counts = counts.add(of_site / choices["repeat"].nunique(), fill_value=0.0)
        lacking = choices[choices["reason"] != ""]
        reason = ""
        if len(lacking):
            reason = f"{len(lacking)} of {len(choices)} folds have no threshold: {lacking['reason'].iloc[0]}"
        totals = counts.sum().to_dict()
        for measure, (right, wrong) in _SHARES.items():
            n, estimate, low, high = totals[right] + totals[wrong], np.nan, np.nan, np.nan
            if n:
                estimate = totals[right] / n
                low, high = clopper_pearson(totals[right], n, confidence=confidence)
            if n and of_sites:
                of_site = (counts[right].to_numpy(), (counts[right] + counts[wrong]).to_numpy())
                low, high = korn_graubard(*of_site, confidence=confidence)
            head = {"model": model, "class": label, "measure": measure, "estimate": estimate}
            found.append(head | {"ci_low": low, "ci_high": high, "n": n, **totals, "reason": reason})
    return pd.DataFrame(found, columns=list(OPERATING_TYPES)).astype(OPERATING_TYPES)
