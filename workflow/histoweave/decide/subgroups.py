"""Scores by site and by columns of the patients table, and whether a group differs from the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import MIN_CLUSTERS, MIN_PATIENTS, bootstrap
from histoweave.evaluation.bounds import difference_intervals, metric_intervals, without_width
from histoweave.evaluation.groups import groups
from histoweave.evaluation.metrics import METRICS
from histoweave.evaluation.sample import Sample
from histoweave.settings.evaluation import Evaluation

DIFFERENCES = {name: METRICS[name] for name in ("auroc", "accuracy", "brier")}
TYPES = dict.fromkeys(("model", "column", "group", "metric"), "str") | {
    **dict.fromkeys(("estimate", "ci_low", "ci_high"), "float64"),
    "n": "int64",
}


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
    interval; and the same with `difference` (group − others) in place of `estimate`, for groups that have 10 patients of
    3 clusters and leave as many: both sides are drawn together. The intervals of the differences of a model are
    simultaneous (Bonferroni over its groups and metrics), because one looks for the group that differs. A difference has
    none (NaN) where the draws of one side have no width, such as those of a group without an error: how much that side
    varies is not known. Scores of a site are drawn over its patients, differences of sites as everything else.
    """
    known = patients.set_index("patient")
    scores, differences = [], []
    for model, rows in predictions.groupby("model", sort=False):
        whole, compared = Sample.of(rows, classes), []
        for column in columns:
            of = groups(known.loc[sorted(set(predictions["patient"])), column])
            own = of.loc[np.unique(rows["patient"].to_numpy(dtype=str))]
            for group, mask in _masks(own):
                part = rows[rows["patient"].isin(own.index[mask])]
                sample = Sample.of(part.drop(columns="cluster", errors="ignore") if column == "site" else part, classes)
                estimate, drawn = sample.bootstrap(METRICS, draws=settings.bootstrap, seed=seed)
                limits = metric_intervals(sample, drawn, n_classes=len(classes), confidence=settings.confidence)
                head = {"model": model, "column": column, "group": group, "n": sample.n}
                scores.append(_rows(head, METRICS, "estimate", estimate, limits))
                if _enough(whole, mask) and _enough(whole, ~mask):
                    compared.append((head, *_difference(whole, mask, settings=settings, seed=seed)))
        confidence = 1 - (1 - settings.confidence) / max(1, len(compared) * len(DIFFERENCES))
        for head, estimate, drawn in compared:
            limits = difference_intervals(
                whole, drawn, n_classes=len(classes), confidence=confidence, names=list(DIFFERENCES)
            )
            differences.append(_rows(head, DIFFERENCES, "difference", estimate, limits))
    types = {("difference" if name == "estimate" else name): kind for name, kind in TYPES.items()}
    return _table(scores, TYPES), _table(differences, types)


def _masks(of: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Each group of a column and who is in it, (n,) bool in order of the patients; nothing if all are in one."""
    names = sorted(set(of))
    for name in names if len(names) > 1 else []:
        yield name, (of == name).to_numpy()


def _enough(sample: Sample, mask: np.ndarray) -> bool:
    """Whether a side of a comparison has patients and clusters enough for a finding."""
    n_clusters = mask.sum() if sample.clusters is None else len(np.unique(sample.clusters[mask]))
    return mask.sum() >= MIN_PATIENTS and n_clusters >= MIN_CLUSTERS


def _difference(sample: Sample, mask: np.ndarray, *, settings: Evaluation, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Difference (K,) and its draws (draws, K), NaN where the draws of one side do not vary."""

    def statistic(w: np.ndarray) -> np.ndarray:
        return np.column_stack([sample.score(DIFFERENCES, w * side) for side in (mask, ~mask)])

    estimate, drawn = bootstrap(statistic, sample.n, draws=settings.bootstrap, seed=seed, clusters=sample.clusters)
    (own, others), (own_drawn, others_drawn) = np.split(estimate, 2), np.split(drawn, 2, axis=1)
    unknown = np.logical_or(
        *(without_width(side, confidence=settings.confidence) for side in (own_drawn, others_drawn))
    )
    return own - others, np.where(unknown, np.nan, own_drawn - others_drawn)


def _rows(
    head: dict[str, str | int],
    metrics: Iterable[str],
    name: str,
    estimate: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray],
) -> pd.DataFrame:
    return pd.DataFrame({**head, "metric": list(metrics), name: estimate, "ci_low": limits[0], "ci_high": limits[1]})


def _table(parts: list[pd.DataFrame], types: dict[str, str]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame(columns=list(types)).astype(types)
    return pd.concat(parts, ignore_index=True)[list(types)]
