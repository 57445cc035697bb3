"""Classifiers of the training cohort on another laboratory's images: everything frozen, nothing fitted there."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from histoweave.concepts.classify import fit_level, ordered, predict
from histoweave.concepts.levels import LEAST_PATIENTS, Level
from histoweave.concepts.representations import REPRESENTATIONS, Choice, ImageData, fit_all
from histoweave.concepts.score_tables import COMPARISON_TYPES, METRIC_TYPES, concat, score
from histoweave.settings.evaluation import Evaluation

CLASS_TYPES = {
    "level": "str", "class": "str", "n_train": "int64", "n_external": "int64", "scored": "bool", "reason": "str"
}  # fmt: skip


def transfer_predictions(
    train: ImageData,
    levels: Iterable[Level],
    external: ImageData,
    external_levels: Iterable[Level],
    *,
    choice: Choice,
    names: Iterable[str] = tuple(REPRESENTATIONS),
) -> pd.DataFrame:
    """Fit every representation and classifier on the whole training cohort and predict every row of the external one.

    Parameters
    ----------
    train, external : seen through one dictionary and one random twin. external_levels : in the order of `levels`.

    Returns
    -------
    columns of `classify.PREDICTION_TYPES` (`fold` is −1, `y_true` None without a label), then `p_<class>` for every
    class of the training cohort.
    """
    pairs = [(level, other) for level, other in zip(levels, external_levels, strict=True) if level.classes]
    tables = []
    for name, representation in fit_all(train, np.arange(len(train.means)), choice, names=names) if pairs else ():
        matrix, external_matrix = representation(train), representation(external)
        for level, other in pairs:
            model = fit_level(level, level.vectors(matrix), level.scored, seed=choice.seed)
            every = np.ones(len(other.rows), dtype=bool)
            found = predict(other, other.vectors(external_matrix), every, model, classes=level.classes)
            tables.append(found.assign(representation=name, fold=-1))
    return ordered(tables)


def transfer_classes(levels: Iterable[Level], external_levels: Iterable[Level]) -> pd.DataFrame:
    """Every class of either cohort: rows in each, and whether it is scored or why not (columns of `CLASS_TYPES`)."""
    tables = []
    for level, other in zip(levels, external_levels, strict=True):
        here, there = level.table.set_index("class"), other.table.set_index("class")
        table = pd.DataFrame(index=here.index.union(there.index).rename("class"))
        table["n_train"] = here["n_rows"].reindex(table.index, fill_value=0)
        table["n_external"] = there["n_rows"].reindex(table.index, fill_value=0)
        fitted = table.index.isin(level.classes)
        enough = there["n_patients"].reindex(table.index, fill_value=0) >= LEAST_PATIENTS
        several = (fitted & enough).sum() > 1
        table["scored"] = fitted & enough & several
        table["reason"] = np.select(
            [table["scored"], table["n_train"] == 0, ~fitted, table["n_external"] == 0, ~enough],
            [
                "", "not in the training cohort", "not classified in the training cohort",
                "not in the external cohort", f"fewer than {LEAST_PATIENTS} patients in the external cohort",
            ],
            "no second class is shared",
        )  # fmt: skip
        tables.append(table.reset_index().assign(level=level.name))
    return concat(tables, CLASS_TYPES).astype(CLASS_TYPES)[list(CLASS_TYPES)]


def score_transfer(
    predictions: pd.DataFrame, classes: pd.DataFrame, *, settings: Evaluation, seed: int
) -> dict[str, pd.DataFrame]:
    """The tables `metrics` and `comparisons` (see `score_tables.score`) on the classes that both cohorts have.

    The classifier knows more classes than are scored: its probabilities are divided by their sum over the scored ones,
    so it is judged given that the cell is one of these. Without labels there are no rows.
    """
    metrics, comparisons = [], []
    for level, known in classes[classes["scored"]].groupby("level", sort=False):
        names = sorted(known["class"])
        rows = predictions[(predictions["level"] == level) & predictions["y_true"].isin(names)]
        columns = [f"p_{name}" for name in names]
        # Far from the training cohort all of them may have underflown: no preference then.
        p = np.maximum(rows[columns].to_numpy(dtype=np.float64), np.finfo(np.float64).tiny)
        rows = rows.assign(**dict(zip(columns, (p / p.sum(axis=1, keepdims=True)).T, strict=True)))
        tables = score(rows, level=level, classes=names, settings=settings, seed=seed)
        metrics.append(tables[0])
        comparisons.append(tables[1])
    return {"metrics": concat(metrics, METRIC_TYPES), "comparisons": concat(comparisons, COMPARISON_TYPES)}
