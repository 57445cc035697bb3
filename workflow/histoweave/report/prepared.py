"""What still and interactive figures of explanations and decisions have in common: which rows are drawn, and how."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from histoweave.class_sets import MARGINAL
from histoweave.report.explain_views import modality_title
from histoweave.report.inputs import ReportTables
from histoweave.report.morphology_views import TITLES as MEASURES
from histoweave.report.style import GREY, INK, Mark, marks
from histoweave.report.views import main_fusion

SHOWN_DRIVERS = 15
POLICIES = {"treat_all": Mark(GREY, "--", "o"), "treat_none": Mark(INK, ":", "o")}
POLICY_TITLES = {"treat_all": "treat everybody", "treat_none": "treat nobody"}
LEARNING_METRICS = ("auroc", "average_precision")


def by_model(tables: ReportTables, table: pd.DataFrame) -> Iterator[tuple[str, Mark, pd.DataFrame]]:
    """Title, look and rows of every model of `table`, in order of display; last the policies that need no model."""
    mark = marks(tables.models) | POLICIES
    titles = tables.titles | POLICY_TITLES
    for model in (*tables.titles, *POLICIES):
        rows = table[table["model"] == model]
        if len(rows):
            yield titles[model], mark[model], rows


def main_of(tables: ReportTables, table: pd.DataFrame) -> str:
    """The model that is shown where there is room for one: the main fusion model, else the last of the table."""
    main = main_fusion(tables)
    return main if main in set(table["model"]) else table["model"].iloc[-1]


def curves(tables: ReportTables) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """What is removed or put back (`tiles`, `genes`), what is done with it, and mean `score` per `order`, `share`."""
    found = tables.explain.get("faithfulness")
    if found is None or found.empty:
        return
    means = found.groupby(["modality", "direction", "order", "share"], as_index=False)["score"].mean()
    for (modality, direction), rows in means.groupby(["modality", "direction"]):
        yield modality_title(modality), "removed" if direction == "deletion" else "put back", rows


def drivers(tables: ReportTables, name: str, column: str) -> Iterator[tuple[str, list[str], pd.DataFrame]]:
    """Class, names and rows (`estimate`, `ci_low`, `ci_high`) of what drives it most, the first `SHOWN_DRIVERS`.

    What could not be measured is left out.
    """
    found = tables.explain.get(name)
    if found is None or found.empty:
        return
    found = found[found["mean"].notna()]
    for label, of_class in found[found["rank"] <= SHOWN_DRIVERS].groupby("class", sort=False):
        rows = of_class.sort_values("rank").rename(columns={"mean": "estimate"})
        yield str(label), [MEASURES.get(str(each), str(each).replace("_", " ")) for each in rows[column]], rows


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
