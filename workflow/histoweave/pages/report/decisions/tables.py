"""The decision analyses as tables for the page: calibration, sets, selection, net benefit, groups, learning curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from histoweave.decide.class_sets import CLASS, MARGINAL
from histoweave.pages.kit.json_values import rows as plain_rows
from histoweave.pages.kit.tables import METRIC_TITLES, Cell, Table, estimate, number
from histoweave.pages.report import conclusion
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.models import POLICY_TITLES

TABLES = (
    "temperatures", "calibration", "reliability", "conformal", "sets", "risk_coverage", "selective", "decision_curve",
    "subgroups", "learning", "learning_fit",
)  # fmt: skip
# The table of net benefit lists thresholds that are so far apart; the figure has all.
_THRESHOLD_STEP = 0.1
_SOURCES = {"subgroup_grid": "subgroups"}
_SELECTIVE_TITLES = {"aurc": "Area under the risk-coverage curve"}


SET_TITLES = {MARGINAL: "one for all classes", CLASS: "one per class"}


def title_of(tables: ReportTables, model: str) -> str:
    """A model in plain words; the two policies that need none as well."""
    return POLICY_TITLES.get(model) or tables.titles.get(model, model)


def metric_title(metric: str) -> str:
    """A metric in plain words, such as `risk_at_0.8`."""
    if metric.startswith("risk_at_"):
        return f"Error rate at {float(metric.removeprefix('risk_at_')):.0%} coverage"
    return _SELECTIVE_TITLES.get(metric) or METRIC_TITLES.get(metric) or metric.replace("_", " ")


def scope_title(scope: str) -> str:
    """`pooled`, `class:<c>` and `site:<s>` in plain words."""
    kind, _, value = scope.partition(":")
    return f"{kind} {value}" if value else "all patients"


def views(tables: ReportTables) -> dict[str, Any]:
    """What the sections show: tables, None where the run has not made them, and sentences."""
    found = tables.decide
    makers: dict[str, Callable[[ReportTables], Table]] = {
        "calibration": _calibration, "conformal": _conformal, "selective": _selective, "decision_curve": _decision,
        "subgroups": _subgroups, "learning": _learning, "subgroup_grid": _subgroup_grid,
    }  # fmt: skip
    shown = {name: make(tables) if _SOURCES.get(name, name) in found else None for name, make in makers.items()}
    says = _standing(tables, found["learning_fit"])["says"].tolist() if "learning_fit" in found else []
    return shown | {
        "cautions": conclusion.cautions(tables, _spoken_of(tables)),
        "made": bool(found),
        "says": _says(tables),
        "learning_says": list(dict.fromkeys(says)),
        "reliability_table": _reliability(tables),
    }


def programs(tables: ReportTables) -> dict[str, Any]:
    """`decide` of `report.json`: all but the sets of single patients."""
    return {"decide": {name: plain_rows(table) for name, table in tables.decide.items() if name != "sets"}}


def _spoken_of(tables: ReportTables) -> list[str]:
    """The models that the sentences are about: those of both modalities, or all where there are none."""
    fused = [model.name for model in tables.models if len(model.modalities) > 1]
    return fused or list(tables.titles)


def _standing(tables: ReportTables, found: pd.DataFrame) -> pd.DataFrame:
    """Rows of models whose skill is a finding: nothing is said of the others."""
    return found[[tables.conclusion.stands(model) for model in found["model"]]]


def _says(tables: ReportTables) -> dict[str, list[str]]:
    """Topic: what was found of the fusion models (of all models where there are none); within classes of the last."""
    found = tables.decide.get("findings")
    if found is None:
        return {}
    fused = {model.name for model in tables.models if len(model.modalities) > 1}
    rows = found[found["model"].isin(fused)] if fused & set(found["model"]) else found
    rows = _standing(tables, rows)
    says = {topic: part["says"].tolist() for topic, part in rows.groupby("topic", sort=False)}
    within = rows[rows["topic"] == "conformal_class"]
    if len(within):
        says["conformal_class"] = within.loc[within["model"] == within["model"].iloc[-1], "says"].tolist()
    return says


def summary(tables: ReportTables) -> list[str]:
    """What more patients are expected to bring the main fusion model, or the only models there are."""
    fit = tables.decide.get("learning_fit")
    if fit is None or fit.empty:
        return []
    fused = [model.name for model in tables.models if len(model.modalities) > 1 and model.name in set(fit["model"])]
    rows = _standing(tables, fit[(fit["model"] == (fused or [fit["model"].iloc[0]])[-1])])
    of_auroc = rows[rows["metric"] == "auroc"]
    return (of_auroc if len(of_auroc) else rows)["says"].head(1).tolist()


def _rows(table: pd.DataFrame, cells: Callable[[dict[str, Any]], Sequence[Cell]]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(tuple(cells(row)) for row in table.to_dict("records"))


def _calibration(tables: ReportTables) -> Table:
    """Before and after, with the interval of the change."""
    return _models_by_metrics(tables, tables.decide["calibration"], _before_and_after)


def _models_by_metrics(
    tables: ReportTables, found: pd.DataFrame, cell: Callable[[dict[str, Any] | None], Cell]
) -> Table:
    """Models in rows, metrics in columns."""
    metrics = list(dict.fromkeys(found["metric"]))
    rows = []
    for model in (name for name in tables.titles if name in set(found["model"])):
        of_metric = {row["metric"]: row for row in found[found["model"] == model].to_dict("records")}
        cells = (cell(of_metric.get(metric)) for metric in metrics)
        rows.append((Cell(title_of(tables, model)), number(max(row["n"] for row in of_metric.values())), *cells))
    return Table(("Model", "Patients", *(metric_title(metric) for metric in metrics)), tuple(rows))


def _before_and_after(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return number(None)
    before, after = (number(row[name], digits=3) for name in ("before", "after"))
    change = estimate(row, column="difference", signed=True)
    return Cell(f"{before.text} → {after.text}", f"{change.text} {change.small}".strip(), after.sort, True)


def _reliability(tables: ReportTables) -> Table:
    """Bins of confidence: before and after where both are known."""
    found = tables.decide.get("reliability")
    if found is None:
        return Table((), ())
    rows = _rows(
        found[found["n"] > 0],
        lambda row: (
            Cell(title_of(tables, row["model"])), Cell(row["state"]), number(row["bin"]),
            number(row["confidence"], digits=3), number(row["accuracy"], digits=3), number(row["n"]),
        ),
    )  # fmt: skip
    return Table(("Model", "State", "Bin", "Confidence", "Accuracy", "Patients"), rows)


def _conformal(tables: ReportTables) -> Table:
    rows = _rows(
        tables.decide["conformal"],
        lambda row: (
            Cell(title_of(tables, row["model"])), number(row["level"], digits=2), Cell(SET_TITLES[row["kind"]]),
            Cell(scope_title(row["scope"])), estimate(row, column="coverage"), number(row["mean_set_size"], digits=2), number(row["singletons"]),
            number(row["empty"]), number(row["n"]),
        ),
    )  # fmt: skip
    columns = (
        "Model", "Stated coverage", "Thresholds", "Patients of", "Measured coverage", "Classes per set", "Sets of one class",
        "Empty sets", "Patients",
    )  # fmt: skip
    return Table(columns, rows)


def _selective(tables: ReportTables) -> Table:
    return _models_by_metrics(tables, tables.decide["selective"], estimate)


def _decision(tables: ReportTables) -> Table:
    found = tables.decide["decision_curve"]
    steps = found["threshold"] / _THRESHOLD_STEP
    rows = _rows(
        found[(steps - steps.round()).abs() < 1e-6],
        lambda row: (
            Cell(title_of(tables, row["model"])), Cell(str(row["class"])), number(row["threshold"], digits=2),
            estimate(row, column="net_benefit", signed=True), number(row["n"]),
        ),
    )  # fmt: skip
    return Table(("Model", "Class", "Threshold", "Net benefit", "Patients"), rows)


def _subgroups(tables: ReportTables) -> Table:
    rows = _rows(
        tables.decide["subgroups"],
        lambda row: (
            Cell(str(row["column"]).replace("_", " ")), Cell(str(row["group"])), Cell(title_of(tables, row["model"])),
            Cell(metric_title(row["metric"])), estimate(row), number(row["n"]),
        ),
    )  # fmt: skip
    return Table(("By", "Group", "Model", "Metric", "Estimate", "Patients"), rows)


def _subgroup_grid(tables: ReportTables) -> Table:
    """AUROC with groups in rows and models in columns."""
    found = tables.decide["subgroups"]
    found = found[found["metric"] == "auroc"]
    models = [model for model in tables.titles if model in set(found["model"])]
    rows = []
    for (column, group), part in found.groupby(["column", "group"], sort=False):
        of_model = {row["model"]: row for row in part.to_dict("records")}
        head = (Cell(str(column).replace("_", " ")), Cell(str(group)), number(part["n"].max()))
        rows.append((*head, *(estimate(of_model.get(model)) for model in models)))
    return Table(("By", "Group", "Patients", *(tables.titles[model] for model in models)), tuple(rows))


def _learning(tables: ReportTables) -> Table:
    rows = _rows(
        tables.decide["learning"].sort_values(["model", "metric", "n_train"]),
        lambda row: (
            Cell(title_of(tables, row["model"])), Cell(metric_title(row["metric"])), number(row["n_train"]),
            estimate(row),
        ),
    )  # fmt: skip
    return Table(("Model", "Metric", "Training patients", "Estimate"), rows)
