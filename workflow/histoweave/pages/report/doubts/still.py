"""The still figure of what a column such as the site may explain."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histoweave.pages.kit.style import GREY, INK, MUTED, PAPER, canvas, draw_interval, label_rows, marks, message
from histoweave.pages.report.inputs import ReportTables

NOTHING = "Not available: no sites, scanners or other columns are known."
_OFFSET = 0.22
_MARKERS = {"pooled": "o", "within": "s", "whole": "D"}


def confounding(tables: ReportTables) -> Figure:
    """AUROC of every model over all patients, within levels and on whole sites, below that of the column alone.

    Of one column: the first of the table that has been compared.
    """
    found = tables.confounding
    asked = None if found is None else found[found["question"] == "label_within_column"]
    if found is None or asked is None or asked.empty:
        return message(NOTHING)
    column = asked["column"].iloc[0]
    own = found[found["column"] == column].set_index(["question", "model"])
    named = str(column).replace("_", " ")
    pooled, mark = tables.estimates("auroc"), marks(tables.models)
    names = [model for model in tables.titles if ("label_within_column", model) in own.index]
    labels = {"pooled": "all patients", "within": f"same {named}", "whole": "whole sites left out"}
    drawn = {"pooled", "within"}
    figure, grid = canvas(0.5 * (len(names) + 1) + 1.2)
    axes = grid[0, 0]
    if ("label_from_column", "") in own.index:
        draw_interval(axes, own.loc[("label_from_column", "")], 0, colour=GREY, marker="o")
    for y, model in enumerate(names, start=1):
        colour = mark[model].colour
        if model in pooled.index:
            draw_interval(axes, pooled.loc[model], y - _OFFSET, colour=colour, marker=_MARKERS["pooled"])
        within = own.loc[("label_within_column", model)]
        draw_interval(axes, within, y, colour=colour, marker=_MARKERS["within"], markerfacecolor=PAPER)
        if ("label_whole_columns", model) in own.index:
            drawn.add("whole")
            row = own.loc[("label_whole_columns", model)]
            draw_interval(axes, row, y + _OFFSET, colour=colour, marker=_MARKERS["whole"])
    label_rows(axes, [f"{named} alone", *(tables.titles[model] for model in names)])
    axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel("AUROC for the label")
    handles = [
        Line2D(
            [], [], marker=marker, linestyle="none", color=INK, markersize=6.5, label=labels[name],
            markerfacecolor=PAPER if name == "within" else INK,
        )
        for name, marker in _MARKERS.items()
        if name in drawn
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper right", ncols=3)
    return figure
