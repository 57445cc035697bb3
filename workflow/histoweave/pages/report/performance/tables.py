"""Tables of what the models reached, as the page shows them, and of the run and its patients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import pandas as pd

from histoweave.fusion.catalog import ModelInfo
from histoweave.pages.kit.tables import METRIC_TITLES, Cell, Table, estimate, number
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.models import main_fusion
from histoweave.pages.report.run.still import fold_counts, stage_times

MAX_PATIENT_ROWS = 500
SITE_METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "auroc")
_COMPARISON = ("model_a", "model_b", "metric", "difference", "ci_low", "ci_high", "n")
_MODALITY_WORDS = {"image": "image", "expression": "RNA"}


class Measured(Protocol):
    """Models and what they reached, of any page."""

    @property
    def models(self) -> tuple[ModelInfo, ...]: ...

    @property
    def metrics(self) -> pd.DataFrame: ...


def metric_table(
    tables: Measured,
    *,
    scopes: Sequence[str],
    metrics: Iterable[str],
    scope_title: str = "",
) -> Table:
    """Models (and scopes, if `scope_title`) in rows, metrics in columns, estimates and intervals in cells."""
    source = tables.metrics
    present = [metric for metric in metrics if metric in set(source["metric"])]
    index = source.set_index(["scope", "model", "metric"]).sort_index()
    rows = []
    for scope in scopes:
        for model in tables.models:
            found = {m: index.loc[(scope, model.name, m)] for m in present if (scope, model.name, m) in index.index}
            if not found:
                continue
            head = (Cell(scope.split(":", 1)[-1]),) if scope_title else ()
            patients = number(max(row["n"] for row in found.values()))
            rows.append((*head, Cell(model.title), patients, *(estimate(found.get(m)) for m in present)))
    titles = (scope_title,) if scope_title else ()
    return Table((*titles, "Model", "Patients", *(METRIC_TITLES[m] for m in present)), tuple(rows))


def scope_grid(tables: ReportTables, *, scopes: Sequence[str], metric: str, scope_title: str) -> Table:
    """One metric with scopes in rows and models in columns."""
    source = tables.metrics[tables.metrics["metric"] == metric].set_index(["scope", "model"]).sort_index()
    rows = []
    for scope in scopes:
        found = [source.loc[(scope, m)] if (scope, m) in source.index else None for m in tables.titles]
        patients = max((row["n"] for row in found if row is not None), default=0)
        rows.append((Cell(scope.split(":", 1)[-1]), number(patients), *(estimate(row) for row in found)))
    return Table((scope_title, "Patients", *tables.titles.values()), tuple(rows))


def scopes_like(tables: Measured, prefix: str) -> list[str]:
    """The scopes that start with `prefix`, in the order of the metrics table."""
    return [scope for scope in tables.metrics["scope"].unique() if scope.startswith(prefix)]


def comparison_table(tables: ReportTables) -> Table:
    """All paired differences."""
    titles = tables.titles
    rows = [
        (
            Cell(titles[row["model_a"]]), Cell(titles[row["model_b"]]), Cell(METRIC_TITLES[row["metric"]]),
            estimate(row, column="difference", signed=True), number(row["n"]),
        )
        for row in tables.comparisons.to_dict("records")
    ]  # fmt: skip
    return Table(("Model", "Compared with", "Metric", "Difference", "Patients"), tuple(rows))


def modality_use_table(tables: ReportTables) -> Table:
    """Every metric intact, permuted, and their difference."""
    rows = [
        (
            Cell(tables.titles[row["model"]]),
            Cell(_MODALITY_WORDS[row["modality"]]),
            Cell(METRIC_TITLES[row["metric"]]), number(row["intact"], digits=3),
            number(row["permuted"], digits=3), estimate(row, column="drop", signed=True), number(row["n"]),
        )
        for row in tables.modality_use.to_dict("records")
    ]  # fmt: skip
    columns = ("Model", "Taken from another patient", "Metric", "Original", "After exchange", "Difference", "Patients")
    return Table(columns, tuple(rows))


def folds_table(tables: ReportTables) -> Table:
    """Patients per class and site (rows) in each part of each fold (columns) of the first repeat."""
    counts = fold_counts(tables)
    columns = ("Class", "Site", *(f"{role} {fold}" for role, fold in counts.columns))
    rows = tuple(
        (Cell(str(label)), Cell(str(site)), *(number(value) for value in row))
        for (label, site), row in zip(counts.index, counts.to_numpy(), strict=True)
    )
    return Table(columns, rows)


def throughput_table(tables: ReportTables) -> Table:
    """Jobs, time and memory per stage."""
    rows = tuple(
        (
            Cell(stage), number(row["jobs"]), number(row["total_s"], digits=1),
            number(row["median_s"], digits=2), number(row["jobs_per_min"], digits=1),
            number(row["max_rss_mb"]),
        )
        for stage, row in stage_times(tables).iterrows()
    )  # fmt: skip
    columns = (
        "Stage",
        "Jobs",
        "Seconds in total",
        "Seconds per job (median)",
        "Jobs per minute",
        "Peak memory, MB",
    )
    return Table(columns, rows)


def slide_speed_table(tables: ReportTables) -> Table:
    """Tiles per second of the stages that work on slides."""
    rows = tuple(
        (
            Cell(row.stage), number(row.slides), number(row.tiles), number(row.seconds, digits=1),
            number(row.tiles_per_s, digits=1),
        )
        for row in tables.slide_speed.itertuples()
    )  # fmt: skip
    return Table(("Stage", "Slides", "Tiles", "Seconds", "Tiles per second"), rows)


def patients_table(tables: ReportTables) -> tuple[Table, int]:
    """What every model predicted for each scored patient (mean over repeats), and how many rows were left out."""
    probabilities = [f"p_{label}" for label in tables.classes]
    means = tables.predictions.groupby(["patient", "model"])[probabilities].mean()
    truth = tables.predictions.drop_duplicates("patient").set_index("patient")["y_true"].sort_index()
    shown = truth.head(MAX_PATIENT_ROWS)
    rows = []
    for patient, label in shown.items():
        cells = [Cell(patient), Cell(str(label))]
        for model in tables.models:
            if (patient, model.name) not in means.index:
                cells.append(Cell("–"))
                continue
            p = means.loc[(patient, model.name)].to_numpy()
            called = tables.classes[int(p.argmax())]
            cells.append(Cell(f"{called}{'' if called == label else ' ✗'}", f"{p.max():.2f}"))
        rows.append(tuple(cells))
    return Table(("Patient", "True class", *tables.titles.values()), tuple(rows)), len(truth) - len(shown)


def truth_table(tables: ReportTables) -> Table:
    """How well each model's attention finds what was planted."""
    assert tables.truth is not None
    rows = [
        (
            Cell(tables.titles[row["model"]]),
            Cell(METRIC_TITLES[row["metric"]]), estimate(row), number(row["n"]),
        )
        for row in tables.truth.to_dict("records")
    ]  # fmt: skip
    return Table(("Model", "Metric", "Estimate", "Patients"), tuple(rows))


def key_comparisons(tables: ReportTables) -> list[dict[str, Any]]:
    """AUROC differences of the main fusion model against the others, as comparison rows in display order.

    Their intervals are simultaneous (`choice.parquet`), so they cannot contradict the conclusion.
    """
    main, rows = main_fusion(tables), {}
    pairs = tables.choice[tables.choice["model_b"] != ""].rename(columns={"estimate": "difference"})
    for row in pairs.assign(metric="auroc")[list(_COMPARISON)].to_dict("records"):
        if row["model_a"] == main:
            rows[row["model_b"]] = row
        elif row["model_b"] == main:
            turned = {"model_a": main, "model_b": row["model_a"], "difference": -row["difference"]}
            rows[row["model_a"]] = row | turned | {"ci_low": -row["ci_high"], "ci_high": -row["ci_low"]}
    return [rows[name] for name in tables.titles if name in rows]
