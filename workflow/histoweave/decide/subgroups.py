"""Scores by site and by columns of the patients table, and whether a group differs from the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from histoweave.config import Evaluation
from histoweave.evaluation.bootstrap import MIN_PATIENTS, bootstrap, interval
from histoweave.evaluation.metrics import METRICS
from histoweave.evaluation.sample import Sample

NOT_GIVEN = "not given"
MAX_CATEGORIES = 5
DIFFERENCES = {name: METRICS[name] for name in ("auroc", "accuracy", "brier")}
TYPES = dict.fromkeys(("model", "column", "group", "metric"), "str") | {
    **dict.fromkeys(("estimate", "ci_low", "ci_high"), "float64"),
    "n": "int64",
}


def groups(values: pd.Series) -> pd.Series:
    """The group of each patient (text). Numbers with more than five distinct values are cut at their terciles;
    everything else is a group per value. Empty is 'not given'."""
    text = values.astype("string").str.strip()
    text = text.where(text.notna() & (text != ""), None)
    given = text[text.notna()]
    numbers = pd.to_numeric(given, errors="coerce")
    if len(given) and numbers.notna().all() and numbers.nunique() > MAX_CATEGORIES:
        text.loc[given.index] = _terciles(numbers)
    return text.fillna(NOT_GIVEN).astype(object)


def _terciles(numbers: pd.Series) -> pd.Series:
    low, high = numbers.quantile([1 / 3, 2 / 3])
    below, above = f"up to {low:g}", f"above {high:g}"
    between = f"above {low:g}, up to {high:g}"
    return pd.Series(np.select([numbers <= low, numbers > high], [below, above], between), index=numbers.index)


def subgroups(
    predictions: pd.DataFrame,
    *,
    patients: pd.DataFrame,
    columns: list[str],
    classes: list[str],
    settings: Evaluation,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metrics of the evaluation by group, and differences between a group and all others.

    Parameters
    ----------
    predictions : test rows of the pooled scope. Groups are formed among their patients.
    patients : `patient` and the columns. columns : `site` first, if patients have one.

    Returns
    -------
    `model`, `column`, `group`, `metric`, `estimate`, `ci_low`, `ci_high`, `n`: a group of fewer than 10 patients has no
    interval; and the same with `difference` (group − others) in place of `estimate`, for groups that have 10 and leave
    10: both sides are drawn together. The intervals of the differences of a model are simultaneous (Bonferroni over its
    groups and metrics), because one looks for the group that differs.
    """
    known = patients.set_index("patient")
    scores, differences = [], []
    for model, rows in predictions.groupby("model", sort=False):
        whole, compared = Sample.of(rows, classes), []
        for column in columns:
            of = groups(known.loc[sorted(set(predictions["patient"])), column])
            own = of.loc[np.unique(rows["patient"].to_numpy(dtype=str))]
            for group, mask in _masks(own):
                sample = Sample.of(rows[rows["patient"].isin(own.index[mask])], classes)
                values = sample.bootstrap(METRICS, draws=settings.bootstrap, seed=seed)
                head = {"model": model, "column": column, "group": group, "n": sample.n}
                scores.append(_rows(head, METRICS, "estimate", values, confidence=settings.confidence))
                if min(mask.sum(), (~mask).sum()) >= MIN_PATIENTS:
                    compared.append((head, _difference(whole, mask, settings=settings, seed=seed)))
        confidence = 1 - (1 - settings.confidence) / max(1, len(compared) * len(DIFFERENCES))
        differences += [
            _rows(head, DIFFERENCES, "difference", values, confidence=confidence) for head, values in compared
        ]
    types = {("difference" if name == "estimate" else name): kind for name, kind in TYPES.items()}
    return _table(scores, TYPES), _table(differences, types)


def _masks(of: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Each group of a column and who is in it, (n,) bool in order of the patients; nothing if all are in one."""
    names = sorted(set(of))
    for name in names if len(names) > 1 else []:
        yield name, (of == name).to_numpy()


def _difference(sample: Sample, mask: np.ndarray, *, settings: Evaluation, seed: int) -> tuple[np.ndarray, np.ndarray]:
    def statistic(w: np.ndarray) -> np.ndarray:
        return sample.score(DIFFERENCES, w * mask) - sample.score(DIFFERENCES, w * ~mask)

    return bootstrap(statistic, sample.n, draws=settings.bootstrap, seed=seed)


def _rows(
    head: dict[str, str | int],
    metrics: Iterable[str],
    name: str,
    values: tuple[np.ndarray, np.ndarray],
    *,
    confidence: float,
) -> pd.DataFrame:
    low, high = interval(values[1], confidence=confidence)
    return pd.DataFrame({**head, "metric": list(metrics), name: values[0], "ci_low": low, "ci_high": high})


def _table(parts: list[pd.DataFrame], types: dict[str, str]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame(columns=list(types)).astype(types)
    return pd.concat(parts, ignore_index=True)[list(types)]
