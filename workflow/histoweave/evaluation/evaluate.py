"""From test predictions to the tables of the report: metrics, comparisons, calibration, modality use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.evaluation import bounds
from histoweave.evaluation.metrics import CLASS_METRICS, METRICS, N_BINS, SHOWN, confidence_bin
from histoweave.evaluation.roc import roc
from histoweave.evaluation.sample import Sample, check_predictions, probabilities
from histoweave.settings.evaluation import Evaluation

COMPARED = tuple(name for name in SHOWN if METRICS[name].compared)
COMPARISON_TYPES = dict.fromkeys(("model_a", "model_b", "metric"), "str") | {
    **dict.fromkeys(("difference", "ci_low", "ci_high"), "float64"),
    "n": "int64",
}


def pool(tables: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Rows that are scored of pairs (model, table), with the model's name as first column.

    Of prediction tables these are the test rows; modality-use tables, which have no `role`, hold no others. A
    model may come with several tables, one per fold. Rows are in the order given.

    Raises
    ------
    ValueError
        if there are no tables.
    """
    parts = []
    for model, table in tables:
        rows = table[table["role"] == "test"].copy() if "role" in table else table.copy()
        rows.insert(0, "model", model)
        parts.append(rows)
    if not parts:
        raise ValueError("there are no tables to pool")
    filled = [rows for rows in parts if len(rows)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def evaluate(
    predictions: pd.DataFrame,
    *,
    patients: pd.DataFrame,
    classes: list[str],
    order: list[str],
    modalities: Collection[str],
    settings: Evaluation,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Score pooled test predictions.

    A metric is computed per repeat over the test patients of all folds and averaged over repeats. Intervals
    are over a scope's patients, or over their clusters where predictions have a column `cluster` (see `bootstrap`);
    scopes of fewer than 10 patients or 3 clusters get none (NaN). Of a single site the patients are what is drawn.
    Where all draws are the same, `bounds` gives the interval.

    Parameters
    ----------
    predictions : pooled test rows: one row per model, repeat and test patient.
    patients : `patient` and, for the site scopes, `site` (null: none).
    classes : labels in order of the probability columns; the last of two is the positive one.
    modalities : those that any of the models reads; the pooled scope holds the patients that have them all.
    order : models in the order of the tables; a comparison is a later model minus an earlier one.

    Returns
    -------
    The tables `metrics`, `comparisons`, `confusion`, `reliability`, `curves` and `roc`. All but the first are of the
    pooled scope; the last four hold the predictions of every repeat.

    Raises
    ------
    InputError
        if no patient has all modalities that the models read.
    ValueError
        for predictions that `check_predictions` refuses, a model that `order` does not name, or models that
        are not scored on the same patients in the pooled scope.
    """
    check_predictions(predictions, classes)
    if unknown := sorted(set(predictions["model"]) - set(order)):
        raise ValueError(f"model '{unknown[0]}' is missing in the order of models")
    models = [model for model in order if model in set(predictions["model"])]
    is_pooled = pooled_scope(predictions, modalities)
    pooled = predictions[is_pooled]
    _check_same_patients(pooled, models)

    metrics, draws, samples = [], {}, {}
    given: dict[str, Any] = {"n_classes": len(classes), "confidence": settings.confidence}
    for scope, table in _scopes(predictions, is_pooled=is_pooled, patients=patients):
        for model in [model for model in models if model in set(table["model"])]:
            sample = Sample.of(table[table["model"] == model], classes)
            names = [(name, scope) for name in METRICS]
            values = sample.bootstrap(METRICS, draws=settings.bootstrap, seed=seed)
            limits = bounds.metric_intervals(sample, values[1], **given)
            metrics.append(_rows(names, values[0], limits).assign(model=model, n=sample.n))
            if scope == "pooled":
                draws[model], samples[model] = values, sample
                names = [(name, f"class:{label}") for name in CLASS_METRICS for label in classes]
                values = sample.bootstrap(CLASS_METRICS, draws=settings.bootstrap, seed=seed)
                room = bounds.class_metric_rooms(sample, **given)
                limits = bounds.interval_within(values[1], confidence=settings.confidence, room=room, within=(0, 1))
                metrics.append(_rows(names, values[0], limits).assign(model=model, n=sample.n))
    columns = ["model", "metric", "scope", "estimate", "ci_low", "ci_high", "n"]
    return {
        "metrics": pd.concat(metrics, ignore_index=True)[columns],
        "comparisons": _compare(draws, samples, **given),
        "confusion": _confusion(pooled, models=models, classes=classes),
        "reliability": reliability(pooled, models=models, classes=classes),
        "curves": _curves(pooled, models=models, classes=classes),
        "roc": roc(pooled, models=models, classes=classes),
    }


def _rows(names: list[tuple[str, str]], estimate: np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """Rows of the metrics table: `names` are (metric, scope), `limits` the low and high ends of the intervals."""
    table = pd.DataFrame(names, columns=["metric", "scope"])
    return table.assign(estimate=estimate, ci_low=limits[0], ci_high=limits[1])


def pooled_scope(predictions: pd.DataFrame, modalities: Collection[str]) -> pd.Series:
    """Mask of the pooled scope: patients with every modality that the run's models read."""
    has = predictions[[f"has_{modality}" for modality in sorted(modalities)]].astype(bool).all(axis=1)
    if not has.any():
        raise InputError(
            f"no patient has {' and '.join(sorted(modalities))}, so the models cannot be compared; "
            "check the ids of the tables, or choose models of one modality"
        )
    return has


def _check_same_patients(pooled: pd.DataFrame, models: list[str]) -> None:
    scored: dict[str, set[tuple[int, str]]] = {model: set() for model in models}
    for model, rows in pooled.groupby("model"):
        scored[model] = set(zip(rows["repeat"], rows["patient"], strict=True))
    everyone = set().union(*scored.values())
    for model in models:
        if missing := sorted(everyone - scored[model]):
            repeat, patient = missing[0]
            raise ValueError(
                f"model '{model}' has no test prediction for patient '{patient}' in repeat {repeat}, "
                "other models have; a paired comparison needs the same patients"
            )


def _scopes(
    predictions: pd.DataFrame, *, is_pooled: pd.Series, patients: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows of each scope. Folds (counted through repeats) and sites are parts of the pooled one."""
    pooled = predictions[is_pooled]
    yield "pooled", pooled
    k = pooled["repeat"] * (predictions["fold"].max() + 1) + pooled["fold"]
    for fold, rows in pooled.groupby(k):
        yield f"fold{fold}", rows
    if "site" in patients:
        site = pooled["patient"].map(patients.set_index("patient")["site"])
        for name, rows in pooled.groupby(site):
            yield f"site:{name}", rows.drop(columns="cluster", errors="ignore")
    if not is_pooled.all():
        yield "incomplete", predictions[~is_pooled]


def _compare(
    draws: dict[str, tuple[np.ndarray, np.ndarray]],
    samples: dict[str, Sample],
    *,
    n_classes: int,
    confidence: float,
) -> pd.DataFrame:
    """Paired differences, later minus earlier model: every model's draws are of the same patients."""
    compared = [list(METRICS).index(name) for name in COMPARED]
    tables = []
    for position, later in enumerate(draws):
        for earlier in list(draws)[:position]:
            estimate, drawn = (draws[later][i] - draws[earlier][i] for i in (0, 1))
            low, high = bounds.difference_intervals(
                samples[later],
                drawn[:, compared],
                n_classes=n_classes,
                confidence=confidence,
                names=list(COMPARED),
                identical=bounds.identical(samples[later], samples[earlier]),
            )
            columns = {
                "metric": COMPARED,
                "difference": estimate[compared],
                "ci_low": low,
                "ci_high": high,
                "n": samples[later].n,
            }
            tables.append(pd.DataFrame({"model_a": later, "model_b": earlier, **columns}))
    if not tables:  # a run of one model
        return pd.DataFrame(columns=list(COMPARISON_TYPES)).astype(COMPARISON_TYPES)
    return pd.concat(tables, ignore_index=True)


def _confusion(pooled: pd.DataFrame, *, models: list[str], classes: list[str]) -> pd.DataFrame:
    """How often each class was called what; every pair of classes has a row."""
    called = np.array(classes)[probabilities(pooled, classes).argmax(axis=1)]
    pairs = pd.MultiIndex.from_product([models, classes, classes], names=["model", "y_true", "y_pred"])
    counts = pooled.assign(y_pred=called).groupby(["model", "y_true", "y_pred"]).size()
    return counts.reindex(pairs, fill_value=0).rename("n").reset_index()


def reliability(pooled: pd.DataFrame, *, models: list[str], classes: list[str]) -> pd.DataFrame:
    """Mean top-class probability and accuracy in each bin of `ece`; an empty bin has n = 0 and NaN."""
    p = probabilities(pooled, classes)
    table = pd.DataFrame(
        {
            "model": pooled["model"].to_numpy(),
            "bin": confidence_bin(p),
            "confidence": p.max(axis=1),
            "accuracy": (np.array(classes)[p.argmax(axis=1)] == pooled["y_true"]).to_numpy(dtype=float),
        }
    )
    bins = table.groupby(["model", "bin"]).agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), n=("accuracy", "size")
    )
    every = pd.MultiIndex.from_product([models, range(N_BINS)], names=["model", "bin"])
    return bins.reindex(every).fillna({"n": 0}).astype({"n": int}).reset_index()


def _curves(pooled: pd.DataFrame, *, models: list[str], classes: list[str]) -> pd.DataFrame:
    """Precision-recall curve of each class against the rest, of the positive class alone if there are two.

    The closing point (recall 0, precision 1) has no threshold: NaN.
    """
    from sklearn.metrics import precision_recall_curve

    tables = []
    for model in models:
        rows = pooled[pooled["model"] == model]
        for label in classes[1:] if len(classes) == 2 else classes:
            if not (rows["y_true"] == label).any():
                continue
            precision, recall, threshold = precision_recall_curve(rows["y_true"] == label, rows[f"p_{label}"])
            columns = {"recall": recall, "precision": precision, "threshold": np.append(threshold, np.nan)}
            tables.append(pd.DataFrame({"model": model, "class": label, **columns}))
    if not tables:  # an external cohort may hold negatives alone
        return pd.DataFrame(columns=["model", "class", "recall", "precision", "threshold"])
    return pd.concat(tables, ignore_index=True)
