"""Calibration: a temperature per model and fold, and how far the test patients' probabilities can be trusted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from histoweave.decide.temperature import fit_temperature
from histoweave.evaluation.bootstrap import interval
from histoweave.evaluation.evaluate import reliability
from histoweave.evaluation.metrics import brier, ece, weighted_mean
from histoweave.evaluation.sample import Sample, probabilities
from histoweave.evaluation.tempered import rescale
from histoweave.settings.evaluation import Evaluation

_SMALLEST = np.finfo(np.float64).eps


def log_loss(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean −log p of the true class; as scikit-learn does, p counts as 2⁻⁵² at least."""
    return weighted_mean(-np.log(np.maximum(p[np.arange(len(y)), y], _SMALLEST)), w)


METRICS = {"ece": ece, "brier": brier, "log_loss": log_loss}


def temperatures(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """`model`, `repeat`, `fold`, `temperature`, `n_val`, `reason` from the validation rows alone.

    Parameters
    ----------
    predictions : rows of all roles, with `model`. A fold without validation rows keeps temperature 1.
    """
    rows = []
    for (model, repeat, fold), table in predictions.groupby(["model", "repeat", "fold"], sort=False):
        val = table[table["role"] == "val"]
        fitted = fit_temperature(probabilities(val, classes), pd.Index(classes).get_indexer(val["y_true"]))
        rows.append((model, repeat, fold, fitted.value, len(val), fitted.reason))
    return pd.DataFrame(rows, columns=["model", "repeat", "fold", "temperature", "n_val", "reason"])


def calibrated(test: pd.DataFrame, temperatures: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """The test rows with the probabilities of their fold's temperature."""
    keys = ["model", "repeat", "fold"]
    own = test[keys].merge(temperatures, on=keys, how="left", validate="many_to_one")["temperature"].to_numpy()
    columns = [f"p_{label}" for label in classes]
    values = rescale(probabilities(test, classes), own)
    return test.assign(**{column: values[:, c] for c, column in enumerate(columns)})


def calibration(
    before: pd.DataFrame, after: pd.DataFrame, *, classes: list[str], settings: Evaluation, seed: int
) -> pd.DataFrame:
    """`model`, `metric`, `before`, `after`, `difference` (after − before: below 0 is better), its interval, `n`.

    Parameters
    ----------
    before, after : the same test rows, raw and calibrated. The draws of patients are paired.
    """
    tables = []
    for model, rows in before.groupby("model", sort=False):
        pair = [Sample.of(table, classes) for table in (rows, after[after["model"] == model])]
        (raw, drawn_raw), (own, drawn) = (
            sample.bootstrap(METRICS, draws=settings.bootstrap, seed=seed) for sample in pair
        )
        low, high = interval(drawn - drawn_raw, confidence=settings.confidence)
        columns = {"before": raw, "after": own, "difference": own - raw, "ci_low": low, "ci_high": high}
        tables.append(pd.DataFrame({"model": model, "metric": list(METRICS), **columns, "n": pair[0].n}))
    return pd.concat(tables, ignore_index=True)


def reliability_of_both(before: pd.DataFrame, after: pd.DataFrame, *, classes: list[str]) -> pd.DataFrame:
    """`model`, `state` (before, after), `bin`, `confidence`, `accuracy`, `n`: the bins of `ece`."""
    models = list(dict.fromkeys(before["model"]))
    parts = []
    for state, table in (("before", before), ("after", after)):
        bins = reliability(table, models=models, classes=classes)
        bins.insert(1, "state", state)
        parts.append(bins)
    return pd.concat(parts, ignore_index=True)
