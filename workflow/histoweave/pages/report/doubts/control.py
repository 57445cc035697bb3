"""The negative control on the page: every model's score beside its scores on shuffled labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histoweave.evaluation.null import MATCHED, PLAIN
from histoweave.evaluation.null_wording import BELOW, chance_findings, how_shuffled, leak_finding, p_text
from histoweave.pages.kit.interactive import Plot, colour, figure, level, rounded, text
from histoweave.pages.kit.style import GREY, INK, MUTED, canvas, label_rows, marks, message
from histoweave.pages.kit.tables import Cell, Table, estimate, number
from histoweave.pages.report.inputs import ReportTables

_OFF = "No negative control: control.permuted_labels is off."
_NONE = "No model was fitted on shuffled labels: control.network_shuffles is 0."


def _rows(tables: ReportTables, metric: str = PLAIN) -> pd.DataFrame:
    """Rows of a metric of the summary, by model in order of display; empty without a control."""
    summary = tables.control_summary
    if summary is None:
        return pd.DataFrame()
    rows = summary[summary["metric"] == metric].set_index("model")
    return rows.reindex([model for model in tables.titles if model in rows.index])


def _values(tables: ReportTables, model: str) -> np.ndarray:
    """AUROC of a model on every shuffle."""
    null = tables.control_null
    assert null is not None
    return null.loc[(null["model"] == model) & (null["metric"] == PLAIN), "value"].to_numpy()


def still(tables: ReportTables) -> Figure:
    """A strip of the AUROCs on shuffled labels with their mean, and the AUROC on the true labels."""
    rows = _rows(tables)
    if rows.empty:
        return message(_OFF if tables.control_summary is None else _NONE)
    mark = marks(tables.models)
    drawn, grid = canvas(0.42 * len(rows) + 1.2)
    axes = grid[0, 0]
    for y, (model, row) in enumerate(rows.iterrows()):
        values = _values(tables, model)
        axes.plot(values, np.full(len(values), y), "o", color=GREY, markersize=4.5, alpha=0.5)
        axes.plot([row["null_mean"]] * 2, [y - 0.28, y + 0.28], color=INK, linewidth=2)
        axes.plot(row["score"], y, marker="D", linestyle="none", color=mark[model].colour, markersize=7)
    label_rows(axes, [tables.titles[model] for model in rows.index])
    axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel("AUROC")
    handles = [
        Line2D([], [], marker="o", linestyle="none", color=GREY, markersize=4.5, label="one shuffle"),
        Line2D([], [], color=INK, linewidth=2, label="mean of the shuffles"),
        Line2D([], [], marker="D", linestyle="none", color=INK, markersize=7, label="true labels"),
    ]
    drawn.legend(handles=handles, loc="outside upper right", ncols=3)
    return drawn


def interactive(tables: ReportTables) -> list[Plot]:
    """The same with its values under the pointer."""
    rows = _rows(tables)
    if rows.empty:
        return []
    mark = marks(tables.models)
    titles = {model: text(tables.titles[model], width=28) for model in rows.index}
    shuffled = [(titles[model], value) for model in rows.index for value in _values(tables, model)]
    traces = [
        go.Scatter(
            x=rounded(value for _, value in shuffled), y=[title for title, _ in shuffled], mode="markers", name="one shuffle",
            marker={"color": colour(GREY), "size": 7, "opacity": 0.5},
            hovertemplate="%{y}<br>one shuffle: %{x:.3f}<extra></extra>",
        ),
        go.Scatter(
            x=rounded(rows["null_mean"]), y=list(titles.values()), mode="markers", name="mean of the shuffles",
            marker={"color": colour(INK), "size": 16, "symbol": "line-ns", "line": {"width": 3, "color": colour(INK)}},
            hovertemplate="%{y}<br>mean of the shuffles: %{x:.3f}<extra></extra>",
        ),
        go.Scatter(
            x=rounded(rows["score"]), y=list(titles.values()), mode="markers", name="true labels",
            marker={"size": 11, "symbol": "diamond", "color": [colour(mark[model].colour) for model in rows.index]},
            customdata=[_p(row).text for row in rows.to_dict("records")],
            hovertemplate="%{y}<br>true labels: %{x:.3f}, p %{customdata}<extra></extra>",
        ),
    ]  # fmt: skip
    drawn = figure(
        traces,
        height_px=110 + 34 * len(rows),
        x={"title": {"text": "AUROC"}, "nticks": 6, "tickangle": 0},
        y={"autorange": "reversed", "type": "category", "showgrid": False},
        shapes=[level(0.5, upright=True)],
    )
    return [Plot("AUROC", "AUROC of every model on shuffled labels, their mean, and on the true labels", drawn)]


def _p(row: dict[str, Any]) -> Cell:
    return Cell("–", sort=np.inf, number=True) if np.isnan(row["p"]) else Cell(p_text(row["p"]), "", row["p"], True)


def _table(tables: ReportTables) -> Table:
    matched = _rows(tables, MATCHED)
    rows = []
    for model, row in _rows(tables).iterrows():
        of_pairs = matched.loc[model].rename({"mean_low": "ci_low", "mean_high": "ci_high"})
        spread = row.rename({"null_low": "ci_low", "null_high": "ci_high"})
        rows.append(
            (
                Cell(tables.titles[model]), number(row["score"], digits=3), number(row["shuffles"]),
                estimate(spread, column="null_mean"), _p(row.to_dict()), estimate(of_pairs, column="null_mean"),
                Cell("yes" if row["leak"] else "no"),
            )
        )  # fmt: skip
    columns = (
        "Model", "AUROC, true labels", "Shuffles", "AUROC, shuffled labels: mean and middle 95 %", "p",
        "AUROC, shuffled labels, within test folds and sites: mean and its interval", "Leak",
    )  # fmt: skip
    return Table(columns, tuple(rows))


def views(tables: ReportTables) -> dict[str, Any]:
    """What the section shows; nothing without a control."""
    if tables.control_summary is None:
        return {}
    assert tables.control_how is not None  # both or none
    return {
        "how": how_shuffled(tables.control_how),
        "within": tables.control_how["within"] == "site",
        "leak": leak_finding(tables.control_summary, tables.titles),
        "findings": chance_findings(tables.control_summary, tables.titles),
        "below": BELOW,
        "table": _table(tables),
    }
