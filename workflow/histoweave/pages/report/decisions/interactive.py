"""Interactive figures of the decision analyses."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from histoweave.pages.kit.interactive import (
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
from histoweave.pages.kit.style import Mark, marks
from histoweave.pages.report.decisions import prepared
from histoweave.pages.report.decisions.tables import metric_title, scope_title, title_of
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.models import by_model
from histoweave.pages.report.performance.interactive import calibration_axes


def calibration(tables: ReportTables) -> list[Plot]:
    """Accuracy against confidence before and after temperature scaling, one figure per model."""
    plots = []
    for title, mark, states in prepared.calibration(tables):
        traces = []
        for (state, part), symbol in zip(states.items(), ("circle-open", "circle"), strict=True):
            traces.append(
                go.Scatter(
                    x=rounded(part["confidence"]), y=rounded(part["accuracy"]), name=state, mode="markers+lines",
                    line=line_of(mark, width=1, dash="dot" if state == "before" else "solid"),
                    marker={"color": colour(mark.colour), "symbol": symbol, "size": 10}, customdata=part["n"].tolist(),
                    hovertemplate="confidence %{x:.2f}, accuracy %{y:.2f}<br>%{customdata} patients<extra>%{fullData.name}</extra>",
                )
            )  # fmt: skip
        alt = f"Accuracy against confidence of {title} before and after temperature scaling; on the diagonal both agree"
        plots.append(Plot(title, alt, calibration_axes(traces, legend=True)))
    return plots


def conformal(tables: ReportTables) -> list[Plot]:
    """Measured coverage of the main model's sets, one figure per stated level."""
    (model, levels), plots = prepared.conformal(tables), []
    for promised, rows in levels.items():
        drawn = forest(
            rows, titles=[scope_title(scope) for scope in rows["scope"]],
            marks=[marks(tables.models)[model]] * len(rows), metric="Coverage", reference=promised,
        )  # fmt: skip
        title = f"Stated coverage {promised:.0%}"
        plots.append(
            Plot(
                title,
                f"Measured coverage of {title_of(tables, model)}, overall, per class and per site. {title}",
                drawn,
            )
        )
    return plots


def selective(tables: ReportTables) -> list[Plot]:
    """Error rate against the share of patients with a prediction."""
    found = tables.decide.get("risk_coverage")
    if found is None or found.empty:
        return []
    traces = [
        go.Scatter(
            x=rounded(rows["coverage"]), y=rounded(rows["risk"]), mode="lines", name=text(title),
            line=line_of(mark, shape="hv"), customdata=rounded(rows["threshold"]),
            hovertemplate="%{x:.0%} predicted, %{y:.1%} of them wrong<br>probability at least %{customdata:.2f}<extra>"
            + text(title) + "</extra>",
        )
        for title, mark, rows in by_model(tables, found.sort_values("coverage"))
    ]  # fmt: skip
    drawn = figure(
        traces, height_px=430, x={"title": {"text": "Share of patients with a prediction (coverage)"}, "tickformat": ".0%", "range": [0, 1.01]},
        y={"title": {"text": "Error rate (risk)"}, "tickformat": ".0%", "rangemode": "tozero"},
    )  # fmt: skip
    return [
        Plot(
            "Risk and coverage",
            "Error rate against the share of patients with a prediction, the most certain first",
            drawn,
        )
    ]


def decision_curve(tables: ReportTables) -> list[Plot]:
    """Net benefit against the threshold, one figure per class."""
    plots = []
    for label, of_class, shown in prepared.net_benefit(tables):
        traces = [
            go.Scatter(
                x=rounded(rows["threshold"]), y=rounded(rows["net_benefit"]), mode="lines", name=text(title),
                line=line_of(mark), customdata=intervals(rows),
                hovertemplate="threshold %{x:.2f}, net benefit %{y:.3f} %{customdata}<extra>" + text(title) + "</extra>",
            )
            for title, mark, rows in by_model(tables, of_class)
        ]  # fmt: skip
        drawn = figure(
            traces, height_px=460, x={"title": {"text": "Threshold probability"}, "range": [0, 1]},
            y={"title": {"text": "Net benefit"}, "range": list(shown)},
        )  # fmt: skip
        plots.append(Plot(label, f"Net benefit of every model for {label} against the threshold probability", drawn))
    return plots


def learning(tables: ReportTables) -> list[Plot]:
    """Score against the number of training patients with the fitted power law, one figure per metric."""
    plots = []
    for metric, scores, fits in prepared.learning(tables):
        traces = []
        for title, mark, rows in by_model(tables, scores):
            traces.append(
                go.Scatter(
                    x=rounded(rows["n_train"]), y=rounded(rows["estimate"]), mode="markers", name=text(title),
                    error_y=errors(rows) | {"color": colour(mark.colour)}, marker=marker_of(mark),
                    customdata=intervals(rows),
                    hovertemplate="%{x:.0f} patients: %{y:.3f} %{customdata}<extra>" + text(title) + "</extra>",
                )
            )  # fmt: skip
            of_model = fits[fits["model"] == rows["model"].iloc[0]]
            traces += [_power_law(fit, start=rows["n_train"].min(), mark=mark) for _, fit in of_model.iterrows()]
        drawn = figure(
            [trace for trace in traces if trace is not None], height_px=400,
            x={"title": {"text": "Training patients"}, "rangemode": "tozero"}, y={"title": {"text": metric_title(metric)}},
            shapes=[level(0.5)] if metric == "auroc" else [],
        )  # fmt: skip
        alt = f"{metric_title(metric)} against the number of training patients, with the fitted curve"
        plots.append(Plot(metric_title(metric), alt, drawn))
    return plots


def _power_law(fit: pd.Series, *, start: float, mark: Mark) -> go.Scatter | None:
    """The fitted curve; None where nothing could be fitted."""
    drawn = prepared.power_law(fit, start=start)
    if drawn is None:
        return None
    return go.Scatter(
        x=rounded(drawn[0]), y=rounded(drawn[1]), mode="lines", line=line_of(mark, width=1.5, dash="dot"),
        showlegend=False, hoverinfo="skip",
    )  # fmt: skip
