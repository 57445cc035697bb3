"""Interactive figures of what the models reached and how they were trained."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from histoweave.evaluation.metrics import TITLES
from histoweave.evaluation.sample import RANKING
from histoweave.pages.kit.interactive import Plot, colour, figure, forest, level, line_of, marker_of, rounded, text
from histoweave.pages.kit.style import BLUE, marks
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.performance.still import chance_level, prevalence
from histoweave.pages.report.run.still import stage_times

_METRICS = {name: TITLES[name] for name in RANKING}


def metrics(tables: ReportTables) -> list[Plot]:
    """AUROC and average precision of every model with intervals."""
    mark = marks(tables.models)
    plots = []
    for metric, title in _METRICS.items():
        rows = tables.estimates(metric)
        drawn = forest(
            rows,
            titles=[tables.titles[model] for model in rows.index],
            marks=[mark[model] for model in rows.index],
            metric=title,
            reference=chance_level(tables, metric),
        )
        plots.append(Plot(title, f"{title} of every model with its interval", drawn))
    return plots


def pr_curves(tables: ReportTables) -> list[Plot]:
    """Precision against recall, one figure per class."""
    mark, plots = marks(tables.models), []
    for label in tables.classes:
        curves = tables.curves[tables.curves["class"] == label]
        traces = []
        for model in tables.models:
            rows = curves[curves["model"] == model.name].sort_values(["recall", "precision"], ascending=[True, False])
            traces.append(
                go.Scatter(
                    x=rounded(rows["recall"]), y=rounded(rows["precision"]), mode="lines", name=text(model.title),
                    line=line_of(mark[model.name], shape="vh"),
                    hovertemplate="recall %{x:.2f}, precision %{y:.2f}<extra>" + text(model.title) + "</extra>",
                )
            )  # fmt: skip
        if curves.empty:
            continue
        drawn = figure(
            traces,
            height_px=430,
            x={"title": {"text": "Recall"}, "range": [0, 1.01]},
            y={"title": {"text": "Precision"}, "range": [0, 1.03]},
            shapes=[level(prevalence(tables, label))],
        )
        plots.append(Plot(label, f"Precision against recall of every model for {label}", drawn))
    return plots


def reliability(tables: ReportTables) -> list[Plot]:
    """Accuracy against confidence, one figure per model."""
    mark, plots = marks(tables.models), []
    for model in tables.models:
        rows = tables.reliability[(tables.reliability["model"] == model.name) & (tables.reliability["n"] > 0)]
        area = 26 * np.sqrt(rows["n"] / max(rows["n"].max(), 1)) + 5 if len(rows) else []
        points = go.Scatter(
            x=rounded(rows["confidence"]), y=rounded(rows["accuracy"]), mode="markers", customdata=rows["n"].tolist(),
            marker={"color": colour(mark[model.name].colour), "size": rounded(area), "opacity": 0.85},
            hovertemplate="confidence %{x:.2f}, accuracy %{y:.2f}<br>%{customdata} patients<extra></extra>",
        )  # fmt: skip
        alt = f"Accuracy against confidence of {model.title}, in bins; on the diagonal both agree"
        plots.append(Plot(model.title, alt, calibration_axes([points], legend=False)))
    return plots


def calibration_axes(traces: list[go.Scatter], *, legend: bool) -> go.Figure:
    """Accuracy against confidence with the diagonal."""
    diagonal = {"type": "line", "x0": 0, "x1": 1, "y0": 0, "y1": 1, "line": level(0)["line"]}
    return figure(
        traces,
        height_px=380 if legend else 300,
        legend=legend,
        x={"title": {"text": "Confidence"}, "range": [0, 1.05]},
        y={"title": {"text": "Accuracy"}, "range": [-0.06, 1.08]},
        shapes=[diagonal],
    )


def training(tables: ReportTables) -> list[Plot]:
    """Validation loss per epoch, one figure per model and one line per fold and network."""
    mark, plots = marks(tables.models), []
    for model in tables.models:
        traces = []
        for fold, history in enumerate(tables.histories.get(model.name, ())):
            for member, rows in history.groupby("member"):
                name = f"fold {fold}, network {member}"
                best = rows[rows["best"]]
                traces.append(
                    go.Scatter(
                        x=rows["epoch"].tolist(), y=rounded(rows["val_loss"]), mode="lines", name=name,
                        line={"color": colour(mark[model.name].colour), "width": 1}, opacity=0.6,
                        customdata=rounded(rows["train_loss"]),
                        hovertemplate="epoch %{x}<br>validation %{y:.3f}, training %{customdata:.3f}<extra>%{fullData.name}</extra>",
                    )
                )  # fmt: skip
                traces.append(
                    go.Scatter(
                        x=best["epoch"].tolist(), y=rounded(best["val_loss"]), mode="markers", name=name,
                        marker={"color": colour(mark[model.name].colour), "size": 7},
                        hovertemplate="kept: epoch %{x}, validation %{y:.3f}<extra>%{fullData.name}</extra>",
                    )
                )  # fmt: skip
        if traces:
            drawn = figure(
                traces, height_px=280, legend=False, x={"title": {"text": "Epoch"}},
                y={"title": {"text": "Validation loss"}, "rangemode": "tozero"},
            )  # fmt: skip
            plots.append(Plot(model.title, f"Validation loss per epoch of {model.title}, one line per fold", drawn))
    return plots


def throughput(tables: ReportTables) -> list[Plot]:
    """Seconds per job, one point per job."""
    stages = stage_times(tables).index
    if stages.empty:
        return []
    jobs = tables.benchmarks
    points = go.Scatter(
        x=rounded(jobs["seconds"]), y=[text(stage) for stage in jobs["stage"]], mode="markers",
        marker=marker_of(marks(tables.models)[tables.models[0].name], color=colour(BLUE), symbol="circle", opacity=0.4),
        customdata=[text(job) for job in jobs["job"]],
        hovertemplate="%{customdata}<br>%{x:.2f} s<extra></extra>",
    )  # fmt: skip
    drawn = figure(
        [points],
        height_px=90 + 28 * len(stages),
        legend=False,
        x={"type": "log", "title": {"text": "Seconds per job"}, "dtick": 1},
        y={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [text(stage) for stage in stages][::-1],
            "showgrid": False,
        },
    )
    return [Plot("Seconds per job", "Seconds per job for every stage of the run, one point per job", drawn)]
