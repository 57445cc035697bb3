"""What interactive figures have in common: the page's colours, axes and text, and their way into the page as JSON.

Plotly's figures are drawn by the page when they come near the window. Colours are names of the style sheet
(`var(--blue)`), so that a figure follows the page from light to dark.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.io.json import to_json_plotly

from histoweave.evaluation.shown import interval_text
from histoweave.pages.kit.style import LONG_DASHES, THEME, Mark

_DIGITS = 4
_DASHES: dict[Any, str] = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot", LONG_DASHES: "longdashdot"}
_SYMBOLS = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down"}


@dataclass(frozen=True)
class Plot:
    """One interactive figure: its title on the page, what it shows in words (for those who cannot see it), the figure."""

    title: str
    alt: str
    figure: go.Figure


def colour(hexadecimal: str) -> str:
    """A colour of `style.THEME` by its name in the style sheet."""
    return f"var({THEME[hexadecimal]})"


def text(value: object, *, width: int = 0) -> str:
    """Text of users for a figure, which reads HTML; broken into lines of `width` characters if that is not 0."""
    lines = textwrap.wrap(str(value), width) if width else [str(value)]
    return "<br>".join(html.escape(line) for line in lines)


def rounded(values: Iterable[float]) -> list[float | None]:
    """Numbers with four decimals; None where undefined."""
    return [round(float(value), _DIGITS) if np.isfinite(value) else None for value in values]


def line_of(mark: Mark, **more: Any) -> dict[str, Any]:
    """The line of a model."""
    return {"color": colour(mark.colour), "dash": _DASHES[mark.line], "width": 2, **more}


def marker_of(mark: Mark, **more: Any) -> dict[str, Any]:
    """The marker of a model."""
    return {"color": colour(mark.colour), "symbol": _SYMBOLS[mark.marker], "size": 9, **more}


def errors(rows: pd.DataFrame, *, column: str = "estimate") -> dict[str, Any]:
    """Error bars from `ci_low` to `ci_high` around `column`."""
    return {
        "type": "data",
        "symmetric": False,
        "array": rounded(rows["ci_high"] - rows[column]),
        "arrayminus": rounded(rows[column] - rows["ci_low"]),
        "thickness": 2,
        "width": 0,
    }


def intervals(rows: pd.DataFrame, *, digits: int = 3) -> list[str]:
    """`[low, high]` of every row, empty where there is none."""
    pairs = zip(rows["ci_low"], rows["ci_high"], strict=True)
    return [interval_text(low, high, against=(0.0, 0.5), digits=digits) for low, high in pairs]


def figure(
    traces: Sequence[go.Scatter | go.Bar | go.Heatmap],
    *,
    height_px: int,
    x: Mapping[str, Any] | None = None,
    y: Mapping[str, Any] | None = None,
    legend: bool = True,
    **layout: Any,
) -> go.Figure:
    """A figure with the look of the page; `x` and `y` are settings of the axes."""
    axis = {
        "gridcolor": "var(--line)", "linecolor": "var(--muted)", "tickcolor": "var(--muted)", "zeroline": False,
        "automargin": True,
    }  # fmt: skip
    drawn = go.Figure(
        data=list(traces),
        layout={
            "template": go.layout.Template(),
            "height": height_px,
            "margin": {"l": 8, "r": 14, "t": 8, "b": 8},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": "var(--ink)", "size": 13, "family": "inherit"},
            "hoverlabel": {"bgcolor": "var(--surface)", "bordercolor": "var(--muted)", "font": {"color": "var(--ink)"}},
            "showlegend": legend,
            "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
            "xaxis": axis | dict(x or {}),
            "yaxis": axis | dict(y or {}),
            **layout,
        },
    )  # fmt: skip
    title = {"font": {"size": 13}, "standoff": 8}
    return drawn.update_layout(xaxis_title=title, yaxis_title=title)


def forest(
    rows: pd.DataFrame,
    *,
    titles: Sequence[str],
    marks: Sequence[Mark],
    metric: str,
    reference: float | None = None,
    signed: bool = False,
) -> go.Figure:
    """Points with intervals, one line each, the first on top.

    Parameters
    ----------
    rows: `estimate`, `ci_low`, `ci_high`. titles, marks: of each row. reference: where a dashed line stands.
    signed: whether values show their sign.
    """
    form = "+.3f" if signed else ".3f"
    points = go.Scatter(
        x=rounded(rows["estimate"]),
        y=[text(title, width=28) for title in titles],
        mode="markers",
        error_x=errors(rows) | {"color": "var(--muted)"},
        marker={
            "size": 10,
            "color": [colour(mark.colour) for mark in marks],
            "symbol": [_SYMBOLS[mark.marker] for mark in marks],
        },
        customdata=intervals(rows),
        hovertemplate="%{y}<br>" + text(metric) + " %{x:" + form + "} %{customdata}<extra></extra>",
    )
    lines = [] if reference is None else [level(reference, upright=True)]
    return figure(
        [points],
        height_px=70 + 34 * max(len(rows), 1),
        legend=False,
        x={"title": {"text": text(metric)}, "nticks": 6, "tickangle": 0},
        y={"autorange": "reversed", "type": "category", "showgrid": False},
        shapes=lines,
    )


def level(at: float, *, upright: bool = False) -> dict[str, Any]:
    """A dashed line right across the figure."""
    along, across = ("y", "x") if upright else ("x", "y")
    return {
        "type": "line", f"{along}ref": "paper", f"{along}0": 0, f"{along}1": 1, f"{across}0": at, f"{across}1": at,
        "line": {"color": "var(--muted)", "width": 1.2, "dash": "dash"},
    }  # fmt: skip


def as_json(groups: Mapping[str, Sequence[Plot]]) -> Markup:
    """All figures as JSON for a script element: `<group>-<place>` → figure. Equal figures give equal text."""
    found = {
        f"{name}-{place}": plot.figure.to_plotly_json()
        for name, plots in groups.items()
        for place, plot in enumerate(plots)
    }
    return htmlsafe_json_dumps(found, dumps=lambda value, **_: to_json_plotly(value))
