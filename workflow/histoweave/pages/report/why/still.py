"""Still figures of the explanations: how they were tested, and what drives each class."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from histoweave.pages.kit.style import (
    BLUE,
    GREEN,
    GREY,
    MUTED,
    ORANGE,
    canvas,
    draw_interval,
    label_rows,
    message,
    panels,
    wrap,
)
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.why.prepared import curves, drivers
from histoweave.pages.report.why.tables import TEST_TITLES, modality_title

NOTHING = "No explanations: explain.models is empty, or no model that can be explained was fitted."
_SHORT = 12
_DASHED = (0, (4, 3))
_ORDERS: dict[str, tuple[str, LineStyleType]] = {
    "attribution": (GREEN, "-"),
    "attention": (BLUE, "--"),
    "random": (GREY, ":"),
}


def tests(tables: ReportTables) -> Figure:
    """Every test of the explanations with its interval; full: passed, open: failed."""
    found = tables.explain.get("tests")
    if found is None or found.empty:
        return message(NOTHING)
    figure, grid = canvas(0.42 * len(found) + 0.9)
    axes = grid[0, 0]
    titles = []
    for y, row in enumerate(found.to_dict("records")):
        colour = _ORDERS[row["order"]][0]
        full = {} if row["passed"] else {"markerfacecolor": "none", "markeredgewidth": 1.6}
        draw_interval(axes, row, y, colour=colour, marker="o" if row["passed"] else "X", **full)
        of = "" if row["test"].startswith("planted") else f": {modality_title(row['modality'])}"
        titles.append(f"{TEST_TITLES.get(row['test'], row['test'])}{of}")
    label_rows(axes, titles, width=34)
    axes.axvline(0, color=MUTED, linewidth=1, linestyle=_DASHED)
    axes.set_xlabel("Estimate")
    shown = [order for order in _ORDERS if order in set(found["order"])]
    lines = [Line2D([], [], color=_ORDERS[order][0], marker="o", label=f"by {order}") for order in shown]
    failed = Line2D([], [], color=MUTED, marker="X", markerfacecolor="none", linestyle="none", label="failed")
    figure.legend(handles=[*lines, failed], loc="outside upper right", ncols=len(lines) + 1)
    return figure


def faithfulness(tables: ReportTables) -> Figure:
    """Mean probability of the predicted class while tiles or genes are removed, or put back."""
    shown = list(curves(tables))
    if not shown:
        return message(NOTHING)
    figure, flat = panels(len(shown), columns=2, panel_height_in=2.3, sharey=True)
    for axes, (what, done, rows) in zip(flat, shown, strict=True):
        for order, (colour, line) in _ORDERS.items():
            of_order = rows[rows["order"] == order]
            axes.plot(of_order["share"], of_order["score"], color=colour, linestyle=line, marker="o", markersize=3)
        axes.set(title=f"{what.capitalize()} {done}", xlabel=f"Share of {what} {done}")
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.grid()
    for axes in flat[::2]:
        axes.set_ylabel("Probability of\nthe predicted class")
    used = {order for _, _, rows in shown for order in rows["order"]}
    lines = [
        Line2D([], [], color=colour, linestyle=line, label="random order" if order == "random" else f"by {order}")
        for order, (colour, line) in _ORDERS.items()
        if order in used
    ]
    figure.legend(handles=lines, loc="outside upper right", ncols=len(lines), handlelength=2.6)
    return figure


def genes(tables: ReportTables) -> Figure:
    """The genes with the largest mean attribution, one panel per class."""
    return _drivers(tables, "genes", "gene")


def gene_sets(tables: ReportTables) -> Figure:
    """The gene sets with the largest mean attribution, one panel per class."""
    return _drivers(tables, "gene_sets", "gene_set")


def concepts(tables: ReportTables) -> Figure:
    """The concepts with the largest mean attribution, one panel per class."""
    if tables.explain and "concepts" not in tables.explain:
        return message("No explanation by concepts: this run has no dictionary of tile features.")
    return _drivers(tables, "concepts", "concept")


def morphology(tables: ReportTables) -> Figure:
    """How the leading tiles differ from others of the same patients, one panel per class."""
    if tables.explain and "morphology" not in tables.explain:
        return message("No morphology: the explained model does not use slides.")
    return _drivers(tables, "morphology", "measure", metric="Difference, in standard deviations of all tiles")


def _drivers(tables: ReportTables, name: str, column: str, *, metric: str = "Mean attribution, log-odds") -> Figure:
    shown = list(drivers(tables, name, column))
    if not shown:
        return message(NOTHING if not tables.explain else f"No {name.replace('_', ' ')} were explained in this run.")
    most = max(len(rows) for _, _, rows in shown)
    # Long names, such as those of gene sets, leave no room for two panels side by side.
    wide = max(len(title) for _, titles, _ in shown for title in titles) > _SHORT
    figure, flat = panels(len(shown), columns=1 if wide else 2, panel_height_in=0.24 * most + 1.0, sharex=True)
    for axes, (label, titles, rows) in zip(flat, shown, strict=True):
        for y, (_, row) in enumerate(rows.iterrows()):
            draw_interval(axes, row, y, colour=ORANGE if row["estimate"] > 0 else BLUE, marker="o")
        label_rows(axes, [textwrap.shorten(title, 44) for title in titles], width=44)
        axes.set_title(wrap(label, 60 if wide else 24))
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=_DASHED)
        axes.xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel(metric, fontsize=10)
    return figure
