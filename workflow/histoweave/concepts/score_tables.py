"""From predictions to metrics and paired differences, with intervals over patients; rows may be images or patients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.evaluation.metrics import CLASS_METRICS, METRICS
from histoweave.evaluation.sample import Sample
from histoweave.settings.evaluation import Evaluation

SCORES = {
    name: METRICS[name]
    for name in ("balanced_accuracy", "accuracy", "f1_macro", "f1_weighted", "auroc", "average_precision")
}
CLASS_SCORES = {name: CLASS_METRICS[name] for name in ("auroc", "average_precision", "recall", "f1")}

METRIC_TYPES = dict.fromkeys(("level", "representation", "metric", "scope"), "str") | {
    **dict.fromkeys(("estimate", "ci_low", "ci_high"), "float64"),
    **dict.fromkeys(("n_patients", "n_images"), "int64"),
}
COMPARISON_TYPES = dict.fromkeys(("level", "representation_a", "representation_b", "metric"), "str") | {
    **dict.fromkeys(("difference", "ci_low", "ci_high"), "float64"),
    **dict.fromkeys(("n_patients", "n_images"), "int64"),
}
_MAX_VALUES = 1 << 22  # draws × rows that a metric holds at once

Statistic = Callable[[np.ndarray], np.ndarray]


def empty(types: dict[str, str]) -> pd.DataFrame:
    """A table without rows."""
    return pd.DataFrame(columns=list(types)).astype(types)


def concat(tables: list[pd.DataFrame], types: dict[str, str]) -> pd.DataFrame:
    """The tables one below the other; with no row, an empty table of these types."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else empty(types)


def in_slices(statistic: Statistic, width: int) -> Statistic:
    """The same statistic of weights (b,n), made for a few draws at a time: each needs memory for `width` values."""
    rows = max(1, _MAX_VALUES // max(1, width))
    return lambda w: np.concatenate([statistic(w[start : start + rows]) for start in range(0, len(w), rows)])


def score(
    predictions: pd.DataFrame, *, level: str, classes: list[str], settings: Evaluation, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metrics of each representation, and the paired differences of the first to all others.

    Patients are resampled, with all their images; fewer than 10 patients get no interval (NaN).

    Parameters
    ----------
    predictions : `representation`, `patient`, `y_true` and `p_<class>`: the same rows for every representation.

    Returns
    -------
    metrics: columns of `METRIC_TYPES`, scope `pooled` or `class:<name>` (that class against the rest); and comparisons:
    columns of `COMPARISON_TYPES`, a minus b. `n_images` is 0 where rows are patients.
    """
    draws, metrics = {}, []
    for name, rows in predictions.groupby("representation", sort=False):
        sample = Sample.of(rows.assign(repeat=0), classes)
        sizes = {"n_patients": sample.n, "n_images": len(rows) if level == "image" else 0}
        for scores, names in (
            (SCORES, [(metric, "pooled") for metric in SCORES]),
            (CLASS_SCORES, [(metric, f"class:{label}") for metric in CLASS_SCORES for label in classes]),
        ):
            estimate, drawn = bootstrap(
                in_slices(partial(sample.score, scores), len(rows)),
                sample.n,
                draws=settings.bootstrap,
                seed=seed,
            )
            low, high = interval(drawn, confidence=settings.confidence)
            table = pd.DataFrame(names, columns=["metric", "scope"])
            metrics.append(
                table.assign(level=level, representation=name, estimate=estimate, ci_low=low, ci_high=high, **sizes)
            )
            if scores is SCORES:
                draws[name] = estimate, drawn, sizes
    first, *others = draws
    compared = [_difference(draws[first], draws[other], settings).assign(representation_b=other) for other in others]
    comparisons = [table.assign(level=level, representation_a=first) for table in compared]
    return (
        concat(metrics, METRIC_TYPES)[list(METRIC_TYPES)],
        concat(comparisons, COMPARISON_TYPES)[list(COMPARISON_TYPES)],
    )


def _difference(one: tuple, other: tuple, settings: Evaluation) -> pd.DataFrame:
    """The draws of all representations are of the same patients."""
    low, high = interval(one[1] - other[1], confidence=settings.confidence)
    return pd.DataFrame(
        {"metric": list(SCORES), "difference": one[0] - other[0], "ci_low": low, "ci_high": high, **one[2]}
    )
