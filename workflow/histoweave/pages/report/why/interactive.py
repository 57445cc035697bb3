"""Interactive figures of the explanations: curves that test them, and what drives each class."""

from __future__ import annotations

import plotly.graph_objects as go

from histoweave.pages.kit.interactive import Plot, colour, figure, forest, rounded
from histoweave.pages.kit.style import BLUE, GREEN, GREY, ORANGE, Mark
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.why.prepared import curves, drivers

_ORDERS = {
    "attribution": {"color": colour(GREEN), "width": 2.5},
    "attention": {"color": colour(BLUE), "width": 2, "dash": "dash"},
    "random": {"color": colour(GREY), "width": 2, "dash": "dot"},
}


def faithfulness(tables: ReportTables) -> list[Plot]:
    """Mean probability of the predicted class while tiles or genes are removed, or put back."""
    plots = []
    for what, done, rows in curves(tables):
        traces = [
            go.Scatter(
                x=rounded(of_order["share"]), y=rounded(of_order["score"]), name=order, mode="lines+markers",
                line=look, marker={"size": 6},
                hovertemplate="%{x:.0%} " + done + ": %{y:.3f}<extra>" + order + "</extra>",
            )
            for order, look in _ORDERS.items()
            if len(of_order := rows[rows["order"] == order])
        ]  # fmt: skip
        drawn = figure(
            traces, height_px=360, x={"title": {"text": f"Share of {what} {done}"}, "tickformat": ".0%"},
            y={"title": {"text": "Probability of the predicted class"}},
        )  # fmt: skip
        alt = f"Mean probability of the predicted class while {what} are {done}, by attribution, by attention and at random"
        plots.append(Plot(f"{what.capitalize()} {done}", alt, drawn))
    return plots


def genes(tables: ReportTables) -> list[Plot]:
    """The genes with the largest mean attribution, one figure per class."""
    return _drivers(tables, "genes", "gene", "genes")


def gene_sets(tables: ReportTables) -> list[Plot]:
    """The gene sets with the largest mean attribution, one figure per class."""
    return _drivers(tables, "gene_sets", "gene_set", "gene sets")


def concepts(tables: ReportTables) -> list[Plot]:
    """The concepts with the largest mean attribution, one figure per class."""
    return _drivers(tables, "concepts", "concept", "concepts")


def morphology(tables: ReportTables) -> list[Plot]:
    """How the leading tiles differ from others of the same patients, one figure per class."""
    return _drivers(tables, "morphology", "measure", "measures of the tiles", metric="Difference (SD)")


def patient(tables: ReportTables) -> list[Plot]:
    """The browser's figures of a patient without their data, which the page fills in: genes, and gene tokens × tiles."""
    if "patients" not in tables.explain:
        return []
    bars = figure(
        [go.Bar(orientation="h", hovertemplate="%{y}: %{x:+.3f}<extra></extra>")], height_px=400, legend=False,
        x={"title": {"text": "Attribution, log-odds of the predicted class"}}, y={"type": "category", "showgrid": False},
    )  # fmt: skip
    cells = go.Heatmap(
        colorscale=[[0, "var(--surface)"], [1, colour(GREEN)]], xgap=2, ygap=2, zmin=0,
        colorbar={"thickness": 10, "outlinewidth": 0}, hovertemplate="%{y}<br>%{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    cross = figure(
        [cells], height_px=400, legend=False, y={"autorange": "reversed", "type": "category", "showgrid": False}
    )
    return [Plot("Genes", "Attribution of genes", bars), Plot("Tokens and tiles", "Cross-attention", cross)]


def _drivers(
    tables: ReportTables, name: str, column: str, words: str, *, metric: str = "Mean attribution, log-odds"
) -> list[Plot]:
    plots = []
    for label, titles, rows in drivers(tables, name, column):
        looks = [Mark(ORANGE if value > 0 else BLUE, "-", "o") for value in rows["estimate"]]
        drawn = forest(rows, titles=titles, marks=looks, metric=metric, reference=0.0, signed=True)
        plots.append(
            Plot(
                label,
                f"The {words} that contribute most to {label}: {metric[0].lower()}{metric[1:]}, with intervals",
                drawn,
            )
        )
    return plots
