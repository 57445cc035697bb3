"""Interactive figures of what a decision can rest on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from histoweave.report.decide_views import metric_title, scope_title, title_of
from histoweave.report.inputs import ReportTables
from histoweave.report.plots import (
    Plot,
    colour,
    errors,
    figure,
    forest,
    intervals,
    level,
    line_of,
    marker_of,
    rounded,
    text,
)
from histoweave.report.plots_results import calibration_axes
from histoweave.report.style import GREY, INK, Mark, marks
from histoweave.report.views import main_fusion

_POLICIES = {"treat_all": Mark(GREY, "--", "o"), "treat_none": Mark(INK, ":", "o")}
_LEARNING_METRICS = ("auroc", "average_precision")


def _by_model(tables: ReportTables, table: pd.DataFrame) -> Iterator[tuple[str, Mark, pd.DataFrame]]:
    """Title, look and rows of every model of `table`, in order of display."""
    mark = marks(tables.models) | _POLICIES
    for model in (*tables.titles, *_POLICIES):
        rows = table[table["model"] == model]
        if len(rows):
            yield title_of(tables, model), mark[model], rows


def _main(tables: ReportTables, table: pd.DataFrame) -> str:
    """The model that is shown where there is room for one: the main fusion model, else the last of the table."""
    main = main_fusion(tables)
    return main if main in set(table["model"]) else table["model"].iloc[-1]


def calibration(tables: ReportTables) -> list[Plot]:
    """Accuracy against confidence before and after the temperature, one figure per model."""
    found = tables.decide.get("reliability", pd.DataFrame({"model": [], "n": []}))
    plots = []
    for title, mark, rows in _by_model(tables, found[found["n"] > 0]):
        traces = []
        for state, symbol in (("before", "circle-open"), ("after", "circle")):
            part = rows[rows["state"] == state].sort_values("confidence")
            traces.append(
                go.Scatter(
                    x=rounded(part["confidence"]), y=rounded(part["accuracy"]), name=state, mode="markers+lines",
                    line=line_of(mark, width=1, dash="dot" if state == "before" else "solid"),
                    marker={"color": colour(mark.colour), "symbol": symbol, "size": 10}, customdata=part["n"].tolist(),
                    hovertemplate="confidence %{x:.2f}, accuracy %{y:.2f}<br>%{customdata} patients<extra>%{fullData.name}</extra>",
                )
            )  # fmt: skip
        alt = f"Accuracy against confidence of {title} before and after the temperature; on the diagonal both agree"
        plots.append(Plot(title, alt, calibration_axes(traces, legend=True)))
    return plots


def conformal(tables: ReportTables) -> list[Plot]:
    """Coverage that the main model's sets reach, one figure per promised level."""
    found = tables.decide.get("conformal")
    if found is None or found.empty:
        return []
    model, plots = _main(tables, found), []
    for promised, rows in found[found["model"] == model].groupby("level"):
        drawn = forest(
            rows.rename(columns={"coverage": "estimate"}), titles=[scope_title(scope) for scope in rows["scope"]],
            marks=[marks(tables.models)[model]] * len(rows), metric="Coverage", reference=promised,
        )  # fmt: skip
        title = f"{promised:.0%} promised"
        plots.append(Plot(title, f"Coverage of {title_of(tables, model)} over all, per class and site; {title}", drawn))
    return plots


def selective(tables: ReportTables) -> list[Plot]:
    """Share of wrong calls against the share of patients that are called."""
    found = tables.decide.get("risk_coverage")
    if found is None or found.empty:
        return []
    traces = [
        go.Scatter(
            x=rounded(rows["coverage"]), y=rounded(rows["risk"]), mode="lines", name=text(title),
            line=line_of(mark, shape="hv"), customdata=rounded(rows["threshold"]),
            hovertemplate="%{x:.0%} called, %{y:.1%} of them wrongly<br>from a probability of %{customdata:.2f}<extra>"
            + text(title) + "</extra>",
        )
        for title, mark, rows in _by_model(tables, found.sort_values("coverage"))
    ]  # fmt: skip
    drawn = figure(
        traces, height_px=430, x={"title": {"text": "Share of patients called"}, "tickformat": ".0%", "range": [0, 1.01]},
        y={"title": {"text": "Share of wrong calls"}, "tickformat": ".0%", "rangemode": "tozero"},
    )  # fmt: skip
    return [Plot("Risk and coverage", "Share of wrong calls when only the surest patients are called", drawn)]


def decision_curve(tables: ReportTables) -> list[Plot]:
    """Net benefit against the threshold, one figure per class."""
    found = tables.decide.get("decision_curve", pd.DataFrame({"class": []}))
    plots = []
    for label, of_class in found.groupby("class", sort=False):
        traces = [
            go.Scatter(
                x=rounded(rows["threshold"]), y=rounded(rows["net_benefit"]), mode="lines", name=text(title),
                line=line_of(mark), customdata=intervals(rows),
                hovertemplate="threshold %{x:.2f}, net benefit %{y:.3f} %{customdata}<extra>" + text(title) + "</extra>",
            )
            for title, mark, rows in _by_model(tables, of_class.sort_values("threshold"))
        ]  # fmt: skip
        highest = float(np.nanmax(of_class["net_benefit"]))
        drawn = figure(
            traces, height_px=460, x={"title": {"text": "Threshold probability"}, "range": [0, 1]},
            # Treating everybody falls without end; what is far below nobody's is of no use to anybody.
            y={"title": {"text": "Net benefit"}, "range": [-0.35 * highest, 1.1 * highest]},
        )  # fmt: skip
        plots.append(
            Plot(str(label), f"Net benefit of every model for {label} against the threshold probability", drawn)
        )
    return plots


def learning(tables: ReportTables) -> list[Plot]:
    """Score against the number of training patients with the fitted power law, one figure per metric."""
    found = tables.decide.get("learning")
    if found is None or found.empty:
        return []
    fits = tables.decide.get("learning_fit", pd.DataFrame({"model": [], "metric": []}))
    plots = []
    for metric in (name for name in _LEARNING_METRICS if name in set(found["metric"])):
        traces = []
        for title, mark, rows in _by_model(tables, found[found["metric"] == metric].sort_values("n_train")):
            traces.append(
                go.Scatter(
                    x=rounded(rows["n_train"]), y=rounded(rows["estimate"]), mode="markers", name=text(title),
                    error_y=errors(rows) | {"color": colour(mark.colour)}, marker=marker_of(mark),
                    customdata=intervals(rows),
                    hovertemplate="%{x:.0f} patients: %{y:.3f} %{customdata}<extra>" + text(title) + "</extra>",
                )
            )  # fmt: skip
            fit = fits[(fits["model"] == rows["model"].iloc[0]) & (fits["metric"] == metric)]
            traces += [_power_law(row, start=rows["n_train"].min(), mark=mark) for row in fit.itertuples()]
        drawn = figure(
            [trace for trace in traces if trace is not None], height_px=400,
            x={"title": {"text": "Training patients"}, "rangemode": "tozero"}, y={"title": {"text": metric_title(metric)}},
            shapes=[level(0.5)] if metric == "auroc" else [],
        )  # fmt: skip
        alt = f"{metric_title(metric)} against the number of training patients, with the fitted curve"
        plots.append(Plot(metric_title(metric), alt, drawn))
    return plots


def _power_law(row, *, start: float, mark: Mark) -> go.Scatter | None:
    """The fitted curve to `n_more` patients beyond today's; None where nothing could be fitted."""
    if not np.isfinite([row.a, row.b, row.c]).all():
        return None
    n = np.linspace(start, row.n_now + row.n_more, 60)
    return go.Scatter(
        x=rounded(n), y=rounded(row.a - row.b * n**-row.c), mode="lines", line=line_of(mark, width=1.5, dash="dot"),
        showlegend=False, hoverinfo="skip",
    )  # fmt: skip
