"""Which rows the figures of decisions draw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from histoweave.decide.class_sets import MARGINAL
from histoweave.pages.kit.style import Mark
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.models import by_model, main_of

LEARNING_METRICS = ("auroc", "average_precision")


def calibration(tables: ReportTables) -> Iterator[tuple[str, Mark, dict[str, pd.DataFrame]]]:
    """Title and look of every model, and its bins that hold patients, `before` and `after` the temperature."""
    found = tables.decide.get("reliability", pd.DataFrame({"model": [], "n": []}))
    for title, mark, rows in by_model(tables, found[found["n"] > 0]):
        yield (
            title,
            mark,
            {state: rows[rows["state"] == state].sort_values("confidence") for state in ("before", "after")},
        )


def conformal(tables: ReportTables) -> tuple[str, dict[float, pd.DataFrame]]:
    """The main model, and its coverage (`estimate`) by promised level, of sets with one threshold for all classes; nothing
    where no sets were made."""
    found = tables.decide.get("conformal")
    if found is None or found.empty:
        return "", {}
    model = main_of(tables, found)
    rows = found[(found["model"] == model) & (found["kind"] == MARGINAL)].rename(columns={"coverage": "estimate"})
    return model, dict(iter(rows.groupby("level")))


def net_benefit(tables: ReportTables) -> Iterator[tuple[str, pd.DataFrame, tuple[float, float]]]:
    """Class, its rows by threshold, and what of the axis is worth seeing.

    Treating everybody falls without end; what is far below nobody's is of no use to anybody.
    """
    found = tables.decide.get("decision_curve", pd.DataFrame({"class": []}))
    for label, rows in found.groupby("class", sort=False):
        highest = float(np.nanmax(rows["net_benefit"]))
        yield str(label), rows.sort_values("threshold"), (-0.35 * highest, 1.1 * highest)


def learning(tables: ReportTables) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Metric, its scores by number of training patients, and the laws fitted to them."""
    found = tables.decide.get("learning")
    if found is None or found.empty:
        return
    fits = tables.decide.get("learning_fit", pd.DataFrame({"model": [], "metric": []}))
    for metric in (name for name in LEARNING_METRICS if name in set(found["metric"])):
        yield metric, found[found["metric"] == metric].sort_values("n_train"), fits[fits["metric"] == metric]


def power_law(fit: pd.Series, *, start: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Patients and scores of a fitted curve, `start` to `n_more` beyond today's; None where nothing was fitted."""
    if not np.isfinite(fit[["a", "b", "c"]].to_numpy(dtype=float)).all():
        return None
    n = np.linspace(start, fit["n_now"] + fit["n_more"], 60)
    return n, fit["a"] - fit["b"] * n ** -fit["c"]
