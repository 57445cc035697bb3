"""The negative control: what every model scores on shuffled labels, and what its score on the true labels is against that.

Two questions, two metrics:

- Is the score better than chance? `auroc`, as on the true labels, against its values on the shuffles: a permutation test
  (Ojala & Garriga 2010, J Mach Learn Res 11:1833; p as in Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39). Labels that
  are shuffled within sites keep what they have to do with the site, so a model that reads the site may lie above 0.5 on
  shuffles as well, without a leak: that is chance here.
- Has something of the test patients reached the fitting? `auroc_matched`, the AUROC over pairs of patients of the same test
  fold who may exchange labels (of the same site). Exchanging the labels of such a pair changes neither the training patients
  nor the folds, so without a leak its mean over shuffles is 0.5, whatever the site tells. Above that is a leak.

Over pairs of different folds the mean is below 0.5 without a leak: a patient who is tested in one fold has been trained on in
the fold of the other, with the label that speaks against both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from histoweave.evaluation.evaluate import pooled_scope
from histoweave.evaluation.sample import probabilities

PLAIN, MATCHED = "auroc", "auroc_matched"
# With fewer shuffles their spread says nothing of the null, and the interval of the mean comes from the pairs alone.
MIN_SHUFFLES = 5
NULL_TYPES = {"model": "str", "shuffle": "int64", "metric": "str", "value": "float64", "se": "float64"}
SUMMARY_TYPES = {
    "model": "str", "metric": "str",
    **dict.fromkeys(("score", "null_mean", "null_low", "null_high", "mean_low", "mean_high", "p"), "float64"),
    "shuffles": "int64", "leak": "bool",
}  # fmt: skip
_ROUNDING = 1e-9


def stratified_auroc(y: np.ndarray, p: np.ndarray, strata: np.ndarray) -> tuple[float, float]:
    """AUROC over pairs of the same stratum, and its standard error if labels are exchangeable within strata.

    With two classes that of the last; with more the mean over classes, each against the rest. The variance within a stratum
    is that of the Mann-Whitney statistic with ties, n₁n₀/12 · (n + 1 − Σ(t³ − t)/(n(n − 1))) (Lehmann 1975); strata are
    weighted by their pairs. Of several classes the standard errors are averaged, which is too large rather than too small.

    Parameters
    ----------
    y : (n,) int, class codes. p : (n, C) float, probabilities. strata : (n,), any values that can be compared.

    Returns
    -------
    Both NaN if no stratum holds two classes.
    """
    classes = [p.shape[1] - 1] if p.shape[1] == 2 else range(p.shape[1])
    found = []
    for code in classes:
        wins = variance = pairs = 0.0
        for stratum in np.unique(strata):
            inside = strata == stratum
            score, positive = p[inside, code], y[inside] == code
            n, n1 = len(score), int(positive.sum())
            n0 = n - n1
            if not n1 or not n0:
                continue
            wins += pd.Series(score).rank().to_numpy()[positive].sum() - n1 * (n1 + 1) / 2
            ties = np.unique(score, return_counts=True)[1].astype(float)
            variance += n1 * n0 / 12 * (n + 1 - (ties**3 - ties).sum() / (n * (n - 1)))
            pairs += n1 * n0
        if pairs:
            found.append((wins / pairs, np.sqrt(max(variance, 0.0)) / pairs))
    if not found:
        return np.nan, np.nan
    mean, error = map(float, np.mean(found, axis=0))
    return mean, error


def scores(predictions: pd.DataFrame, *, groups: Mapping[str, str], classes: list[str]) -> pd.DataFrame:
    """Both metrics of one model's test predictions, means over repeats.

    Parameters
    ----------
    predictions : `patient`, `repeat`, `fold`, `y_true`, `p_<class>`, of the patients that are scored.
    groups : the group of each patient whose members may exchange labels.

    Returns
    -------
    `metric`, `value`, `se`: a row for `auroc` and one for `auroc_matched`.
    """
    found = []
    for _, rows in predictions.groupby("repeat"):
        y, p = pd.Index(classes).get_indexer(rows["y_true"]), probabilities(rows, classes)
        matched = rows["fold"].astype(str) + "/" + rows["patient"].map(groups).astype(str)
        found.append([stratified_auroc(y, p, np.zeros(len(rows))), stratified_auroc(y, p, matched.to_numpy(dtype=str))])
    values = np.mean(found, axis=0) if found else np.full((2, 2), np.nan)
    return pd.DataFrame({"metric": [PLAIN, MATCHED], "value": values[:, 0], "se": values[:, 1]})


def null_table(
    tables: list[tuple[str, pd.DataFrame]], *, groups: Mapping[str, str], classes: list[str], modalities: list[str]
) -> pd.DataFrame:
    """`control/null.parquet`: both metrics of every model and shuffle, on the patients of the pooled scope.

    tables : pairs of a model and its predictions on shuffled labels, with `shuffle`; a model may come several times.
    """
    parts = []
    for model, table in tables:
        scored = table[pooled_scope(table, modalities)]
        for shuffle, rows in scored.groupby("shuffle"):
            part = scores(rows, groups=groups, classes=classes)
            parts.append(part.assign(model=model, shuffle=shuffle)[list(NULL_TYPES)])
    if not parts:
        return pd.DataFrame(columns=list(NULL_TYPES)).astype(NULL_TYPES)
    return pd.concat(parts, ignore_index=True).astype(NULL_TYPES)


def true_scores(
    predictions: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    groups: Mapping[str, str],
    classes: list[str],
    modalities: list[str],
) -> pd.DataFrame:
    """`model`, `metric`, `value` on the true labels: `auroc` of `metrics.parquet`, the other of `predictions.parquet`."""
    pooled = metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == PLAIN)]
    plain = pooled[["model", "metric"]].assign(value=pooled["estimate"])
    parts = [plain]
    for model, rows in predictions[pooled_scope(predictions, modalities)].groupby("model", sort=False):
        both = scores(rows, groups=groups, classes=classes).assign(model=model)
        parts.append(both.loc[both["metric"] == MATCHED, ["model", "metric", "value"]])
    return pd.concat(parts, ignore_index=True)


def summarise(null: pd.DataFrame, true: pd.DataFrame, *, order: list[str], confidence: float) -> pd.DataFrame:
    """`control/summary.parquet`: every model's score against its scores on shuffled labels.

    The intervals of the means hold for all models together (Bonferroni). From `MIN_SHUFFLES` shuffles on they are t
    intervals over the shuffles, which are independent given the patients, and never narrower than what the number of pairs
    allows; with fewer they come from the number of pairs alone. A mean that no labels could move (all predictions of a fold
    are equal) has none.

    Parameters
    ----------
    null : of `null_table`. true : of `true_scores`. order : the models in order of display.

    Returns
    -------
    `model`, `metric`, `score`, `null_mean`, `null_low`, `null_high` (2.5 and 97.5 % of the shuffles; NaN with fewer than
    `MIN_SHUFFLES`), `mean_low`, `mean_high`, `p` (share of shuffles, the true labels among them, that score as much),
    `shuffles`, `leak` (of the model: the interval of the mean of `auroc_matched` lies above 0.5; the same in its two rows).
    """
    models = [model for model in order if model in set(null["model"])]
    of_true = true.set_index(["model", "metric"])["value"]
    tail = (1 - confidence) / max(len(models), 1) / 2
    rows = []
    for model in models:
        own: list[dict[str, Any]] = []
        for metric in (PLAIN, MATCHED):
            of_metric = null[(null["model"] == model) & (null["metric"] == metric)].dropna(subset="value")
            score = float(of_true.get((model, metric), np.nan))
            own.append({"model": model, "metric": metric, "score": score, **_against(score, of_metric, tail=tail)})
        leak = bool(own[-1]["mean_low"] > 0.5 + _ROUNDING)
        rows += [row | {"leak": leak} for row in own]
    return pd.DataFrame(rows, columns=list(SUMMARY_TYPES)).astype(SUMMARY_TYPES)


def _against(score: float, null: pd.DataFrame, *, tail: float) -> dict[str, float | int]:
    """The columns from `null_mean` to `shuffles`; `null` holds `value` and `se` of each shuffle."""
    values, n = null["value"].to_numpy(), len(null)
    if not n:
        undefined = ("null_mean", "null_low", "null_high", "mean_low", "mean_high", "p")
        return dict.fromkeys(undefined, np.nan) | {"shuffles": 0}
    mean, half = float(values.mean()), float(-ndtri(tail) * np.sqrt((null["se"] ** 2).sum()) / n)
    low = high = np.nan
    if n >= MIN_SHUFFLES:
        low, high = np.quantile(values, [0.025, 0.975])
        half = max(half, float(-stdtrit(n - 1, tail) * values.std(ddof=1) / np.sqrt(n)))
    known = half > _ROUNDING
    return {
        "null_mean": mean, "null_low": low, "null_high": high,
        "mean_low": max(mean - half, 0.0) if known else np.nan, "mean_high": min(mean + half, 1.0) if known else np.nan,
        "p": np.nan if np.isnan(score) else (1 + int((values >= score - _ROUNDING).sum())) / (1 + n), "shuffles": n,
    }  # fmt: skip
