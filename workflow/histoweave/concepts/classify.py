"""Logistic regression on every representation, one fold at a time: probabilities of what was held out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from histoweave.concepts import linear
from histoweave.concepts.columns import Matrix
from histoweave.concepts.levels import Level
from histoweave.concepts.representations import REPRESENTATIONS, Choice, ImageData, fit_all
from histoweave.concepts.score_tables import COMPARISON_TYPES, METRIC_TYPES, concat, score
from histoweave.settings.evaluation import Evaluation

PREDICTION_TYPES = dict.fromkeys(("level", "representation", "image", "patient"), "object") | {
    "fold": "int64",
    "inverse_penalty": "float64",
    "y_true": "object",
}


def predict_fold(
    data: ImageData,
    levels: Iterable[Level],
    *,
    is_train: pd.Series,
    fold: int,
    image_patients: pd.Series,
    choice: Choice,
    names: Iterable[str] = tuple(REPRESENTATIONS),
) -> pd.DataFrame:
    """Fit everything on a fold's training patients and predict the others.

    Parameters
    ----------
    data : of all images; the dictionary in it is that of this fold, or the global one.
    is_train : patient → whether it is a training patient of this fold. image_patients : the patient of each image of `data`.

    Returns
    -------
    columns of `PREDICTION_TYPES`, then `p_<class>`; a row per level, representation and held-out row.
    """
    levels = [level for level in levels if level.classes]
    if not levels:
        return ordered([])
    train = np.flatnonzero(is_train[image_patients])
    tables = []
    for name, representation in fit_all(data, train, choice, names=names):
        matrix = representation(data)
        for level in levels:
            in_train = is_train[level.rows["patient"]].to_numpy()
            train_rows, test_rows = in_train & level.scored, ~in_train & level.scored
            if train_rows.any() and test_rows.any():
                vectors = level.vectors(matrix)
                model = fit_level(level, vectors, train_rows, seed=choice.seed)
                found = predict(level, vectors, test_rows, model, classes=level.classes)
                tables.append(found.assign(representation=name, fold=fold))
    return ordered(tables)


def fit_level(level: Level, vectors: Matrix, rows: np.ndarray, *, seed: int) -> linear.Linear:
    """The regression of a level on some of its rows (n,) bool, all of classes that are scored."""
    codes = pd.Index(level.classes).get_indexer(level.rows.loc[rows, "label"])
    groups = level.rows.loc[rows, "group"].to_numpy()
    return linear.fit(vectors[rows], codes, groups, n_classes=len(level.classes), seed=seed)


def predict(
    level: Level, vectors: Matrix, rows: np.ndarray, model: linear.Linear, *, classes: list[str]
) -> pd.DataFrame:
    """Probabilities of some rows (n,) bool of a level, by a regression on `classes`."""
    chosen = level.rows.loc[rows]
    p = pd.DataFrame(model.probabilities(vectors[rows]), columns=[f"p_{name}" for name in classes], index=chosen.index)
    found = chosen[["image", "patient"]].assign(level=level.name, inverse_penalty=model.inverse, y_true=chosen["label"])
    return pd.concat([found, p], axis=1)


def ordered(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of predictions one below the other: columns of `PREDICTION_TYPES`, then `p_<class>` of all levels."""
    table = concat(tables, PREDICTION_TYPES)
    return table[[*PREDICTION_TYPES, *(column for column in table if column.startswith("p_"))]]


def score_levels(
    predictions: pd.DataFrame, levels: Iterable[Level], *, settings: Evaluation, seed: int
) -> dict[str, pd.DataFrame]:
    """The tables `metrics` and `comparisons` (see `score_tables.score`) of all levels that have predictions."""
    metrics, comparisons = [], []
    for level in levels:
        rows = predictions[predictions["level"] == level.name]
        if len(rows):
            tables = score(rows, level=level.name, classes=level.classes, settings=settings, seed=seed)
            metrics.append(tables[0])
            comparisons.append(tables[1])
    return {"metrics": concat(metrics, METRIC_TYPES), "comparisons": concat(comparisons, COMPARISON_TYPES)}
