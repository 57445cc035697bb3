"""Still figures of the decision analyses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histoweave.pages.kit.style import (
    INK,
    MUTED,
    PAPER,
    Mark,
    canvas,
    draw_interval,
    label_rows,
    marks,
    message,
    panels,
    wrap,
)
from histoweave.pages.report.decisions import prepared
from histoweave.pages.report.decisions.tables import metric_title, scope_title
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.models import by_model, main_of

NOTHING = "Not available: this run has no such predictions."
MAX_ROWS = 30
_DASHED = (0, (4, 3))


def calibration(tables: ReportTables) -> Figure:
    """Accuracy against confidence before (open) and after (filled) temperature scaling, one panel per model."""
    shown = list(prepared.calibration(tables))
    if not shown:
        return message(NOTHING)
    figure, flat = panels(len(shown), columns=2, panel_height_in=1.9, sharex=True, sharey=True)
    lowest = min(rows["confidence"].min() for _, _, states in shown for rows in states.values() if len(rows))
    for axes, (title, mark, states) in zip(flat, shown, strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=_DASHED)
        for (_, rows), face, line in zip(states.items(), (PAPER, mark.colour), (":", "-"), strict=True):
            axes.plot(
                rows["confidence"], rows["accuracy"], color=mark.colour, linestyle=line, linewidth=1, marker="o",
                markersize=5.5, markerfacecolor=face,
            )  # fmt: skip
        axes.set(xlim=(lowest - 0.05, 1.03), ylim=(-0.05, 1.07))
        axes.set_title(wrap(title, 30), fontsize=9.5)
        axes.grid()
    figure.supxlabel("Confidence", fontsize=10)
    figure.supylabel("Accuracy", fontsize=10)
    look: dict[str, Any] = {"color": INK, "marker": "o", "linewidth": 1}
    legend = [
        Line2D([], [], linestyle=":", markerfacecolor=PAPER, label="before", **look),
        Line2D([], [], linestyle="-", markerfacecolor=INK, label="after temperature scaling", **look),
    ]
    figure.legend(handles=legend, loc="outside upper right", ncols=2)
    return figure


def conformal(tables: ReportTables) -> Figure:
    """Measured coverage of the main model's sets, overall, per class and per site; dashed: stated coverage."""
    model, levels = prepared.conformal(tables)
    if not levels:
        return message("No conformal sets in this run.")
    mark = marks(tables.models)[model]
    most = min(MAX_ROWS, max(len(rows) for rows in levels.values()))
    figure, flat = panels(len(levels), columns=2, panel_height_in=0.3 * most + 1.0, sharey=True)
    for axes, (promised, rows) in zip(flat, levels.items(), strict=True):
        rows = _largest(rows)
        _forest(axes, rows, titles=[scope_title(scope) for scope in rows["scope"]], mark=mark)
        axes.axvline(promised, color=MUTED, linewidth=1.2, linestyle=_DASHED)
        axes.set_title(f"Stated coverage {promised:.0%}")
        axes.set_xlim(right=1.03)
    figure.supxlabel(f"Measured coverage of {wrap(tables.titles[model], 60)}", fontsize=10)
    return figure


def selective(tables: ReportTables) -> Figure:
    """Error rate against the share of patients with a prediction."""
    found = tables.decide.get("risk_coverage")
    if found is None or found.empty:
        return message(NOTHING)
    figure, grid = canvas(4.4)
    axes, lines = grid[0, 0], []
    for title, mark, rows in by_model(tables, found.sort_values("coverage")):
        axes.step(rows["coverage"], rows["risk"], where="post", color=mark.colour, linestyle=mark.line)
        lines.append(_line(title, mark))
    axes.set(xlim=(0, 1.01), xlabel="Share of patients with a prediction (coverage)", ylabel="Error rate (risk)")
    axes.set_ylim(bottom=0)
    _percent(axes)
    axes.grid()
    figure.legend(handles=lines, loc="outside lower left", ncols=2, handlelength=2.6)
    return figure


def decision_curve(tables: ReportTables) -> Figure:
    """Net benefit against the threshold, one panel per class."""
    shown = list(prepared.net_benefit(tables))
    if not shown:
        return message(NOTHING)
    columns = 1 if len(shown) == 1 else 2
    figure, flat = panels(len(shown), columns=columns, panel_height_in=4.6 if columns == 1 else 3.0)
    lines: dict[str, Line2D] = {}
    for axes, (label, of_class, limits) in zip(flat, shown, strict=True):
        for title, mark, rows in by_model(tables, of_class):
            axes.plot(rows["threshold"], rows["net_benefit"], color=mark.colour, linestyle=mark.line)
            lines.setdefault(title, _line(title, mark))
        axes.set(xlim=(0, 1), ylim=limits, title=wrap(label, 30), xlabel="Threshold probability", ylabel="Net benefit")
        axes.grid()
    figure.legend(handles=list(lines.values()), loc="outside lower left", ncols=2, handlelength=2.6)
    return figure


def subgroups(tables: ReportTables) -> Figure:
    """AUROC of the main model in every group, the largest groups if there are many; dashed: in all patients."""
    found = tables.decide.get("subgroups", pd.DataFrame({"metric": []}))
    found = found[found["metric"] == "auroc"]
    if found.empty:
        return message("No groups to compare: the patients have no site, and decide.subgroups names no column.")
    model = main_of(tables, found)
    rows = _largest(found[found["model"] == model])
    titles = [f"{row.column} {row.group} (n = {row.n})".replace("_", " ") for row in rows.itertuples()]
    figure, grid = canvas(0.32 * len(rows) + 0.9)
    axes = grid[0, 0]
    _forest(axes, rows, titles=titles, mark=marks(tables.models)[model])
    everybody = tables.estimates("auroc")["estimate"].get(model)
    if everybody is not None:
        axes.axvline(everybody, color=MUTED, linewidth=1.2, linestyle=_DASHED)
    axes.set_xlim(max(0.0, np.floor(10 * np.nanmin([0.5, *rows["ci_low"], *rows["estimate"]]) - 0.2) / 10), 1.03)
    axes.set_xlabel(f"AUROC of {tables.titles[model]}")
    return figure


def learning(tables: ReportTables) -> Figure:
    """Score against the number of training patients, with the fitted power law and what more patients would bring."""
    shown = list(prepared.learning(tables))
    if not shown:
        return message("No learning curve in this run.")
    n_models = len({model for _, scores, _ in shown for model in scores["model"]})
    figure, flat = panels(len(shown), columns=2, panel_height_in=2.8 + 0.16 * n_models)
    lines: dict[str, Line2D] = {}
    for axes, (metric, scores, fits) in zip(flat, shown, strict=True):
        for title, mark, rows in by_model(tables, scores):
            axes.vlines(rows["n_train"], rows["ci_low"], rows["ci_high"], color=mark.colour, linewidth=1.6, alpha=0.6)
            axes.plot(rows["n_train"], rows["estimate"], mark.marker, color=mark.colour, markersize=6)
            for _, fit in fits[fits["model"] == rows["model"].iloc[0]].iterrows():
                curve = prepared.power_law(fit, start=rows["n_train"].min())
                if curve is not None:
                    axes.plot(*curve, color=mark.colour, linewidth=1.2, linestyle=":")
            label = wrap(title, 24)
            lines.setdefault(title, Line2D([], [], color=mark.colour, marker=mark.marker, linestyle=":", label=label))
        if metric == "auroc":
            axes.axhline(0.5, color=MUTED, linewidth=1, linestyle=_DASHED)
        axes.set(xlabel="Training patients", title=metric_title(metric))
        axes.set_xlim(left=0)
        axes.grid()
    figure.legend(handles=list(lines.values()), loc="outside lower left", ncols=2, handlelength=2.6)
    return figure


def _forest(axes: Axes, rows: pd.DataFrame, *, titles: list[str], mark: Mark) -> None:
    for y, (_, row) in enumerate(rows.iterrows()):
        draw_interval(axes, row, y, colour=mark.colour, marker=mark.marker)
    label_rows(axes, titles, width=36)


def _largest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of most patients, at most `MAX_ROWS`, in the order of the table."""
    kept = rows["n"].sort_values(ascending=False, kind="stable").index[:MAX_ROWS]
    return rows[rows.index.isin(kept)]


def _line(title: str, mark: Mark) -> Line2D:
    return Line2D([], [], color=mark.colour, linestyle=mark.line, label=wrap(title, 24))


def _percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.yaxis.set_major_formatter("{x:.0%}")
