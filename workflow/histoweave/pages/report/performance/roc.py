"""ROC curves, still and interactive."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histoweave.pages.kit.interactive import Plot, figure, level, line_of, rounded, text
from histoweave.pages.kit.style import MUTED, marks, message, panels, wrap
from histoweave.pages.report.inputs import ReportTables

_X, _Y = "1 − specificity", "Sensitivity"


def _curves(tables: ReportTables) -> Iterator[tuple[str, pd.DataFrame]]:
    """Class and its curves, in order of the classes."""
    if tables.roc is None:
        return
    for label in tables.classes:
        curves = tables.roc[tables.roc["class"] == label]
        if len(curves):
            yield label, curves


def roc_curves(tables: ReportTables) -> Figure:
    """Sensitivity against 1 − specificity per model, one panel per class, with the diagonal of no skill."""
    found = list(_curves(tables))
    if not found:
        return message("No ROC curves: no class could be scored.")
    mark = marks(tables.models)
    columns = 1 if len(found) == 1 else 2
    drawn, flat = panels(len(found), columns=columns, panel_height_in=4.6 if columns == 1 else 2.6)
    for axes, (label, curves) in zip(flat, found, strict=True):
        for model in tables.models:
            rows = curves[curves["model"] == model.name]
            look = mark[model.name]
            axes.plot(
                rows["false_positive_rate"], rows["true_positive_rate"], color=look.colour, linestyle=look.line
            )  # fmt: skip
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), xlabel=_X, ylabel=_Y, title=wrap(label, 30))
        axes.grid()
    lines = [
        Line2D([], [], color=mark[name].colour, linestyle=mark[name].line, label=wrap(title, 24))
        for name, title in tables.titles.items()
    ]
    lines.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="no skill"))
    drawn.legend(handles=lines, loc="outside lower left", ncols=2, handlelength=2.6)
    return drawn


def roc_plots(tables: ReportTables) -> list[Plot]:
    """Sensitivity against 1 − specificity, one figure per class."""
    mark, plots = marks(tables.models), []
    diagonal = {"type": "line", "x0": 0, "x1": 1, "y0": 0, "y1": 1, "line": level(0)["line"]}
    for label, curves in _curves(tables):
        traces = []
        for model in tables.models:
            rows = curves[curves["model"] == model.name]
            traces.append(
                go.Scatter(
                    x=rounded(rows["false_positive_rate"]), y=rounded(rows["true_positive_rate"]), mode="lines",
                    name=text(model.title), line=line_of(mark[model.name]),
                    hovertemplate="1 − specificity %{x:.2f}, sensitivity %{y:.2f}<extra>" + text(model.title) + "</extra>",
                )
            )  # fmt: skip
        drawn = figure(
            traces, height_px=430, x={"title": {"text": _X}, "range": [-0.01, 1.01]},
            y={"title": {"text": _Y}, "range": [-0.01, 1.03]}, shapes=[diagonal],
        )  # fmt: skip
        plots.append(Plot(label, f"ROC curve of every model for {label}", drawn))
    return plots
