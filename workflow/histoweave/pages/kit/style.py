"""How figures look: the palette of Okabe and Ito (2008), safe for colour-blind readers; deterministic SVG."""

from __future__ import annotations

import io
import math
import os
import re
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.typing import LineStyleType

from histoweave.fusion.catalog import ModelInfo
from histoweave.storage.files import write_text

INK, MUTED, GRID, PAPER = "#1f2933", "#65707c", "#d5dae0", "#fefefe"
BLUE, VERMILLION, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#b0558c", "#7d8590"
# What speaks for a class; against it: BLUE. Orange (#e69f00) as dark as lines on white have to be.
ORANGE = "#d17f00"
# Every colour used has a name in the page's style sheet, so that inlined figures follow a dark theme.
THEME = {
    INK: "--ink", MUTED: "--muted", GRID: "--line", PAPER: "--surface", BLUE: "--blue",
    VERMILLION: "--vermillion", ORANGE: "--orange", GREEN: "--green", PURPLE: "--purple", GREY: "--grey",
}  # fmt: skip
# A colour says which modalities a model uses.
COLOUR_OF_MODALITIES = {
    frozenset(): GREY,
    frozenset({"image"}): BLUE,
    frozenset({"expression"}): VERMILLION,
    frozenset({"image", "expression"}): GREEN,
}
WIDTH_IN = 5.4
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2

_RC: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "histoweave", "text.parse_math": False,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 10.5, "axes.labelsize": 10,
    "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "legend.fontsize": 9.5, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
    "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.facecolor": "none", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "lines.linewidth": 1.8,
    "axes.grid": False, "grid.color": GRID, "grid.linewidth": 0.8, "axes.axisbelow": True,
}  # fmt: skip


LONG_DASHES = (0, (9, 2.5, 2, 2.5))  # in widths of the line


@dataclass(frozen=True)
class Mark:
    """How one model is drawn: colour by modality, line and marker within it."""

    colour: str
    line: LineStyleType
    marker: str


def marks(models: tuple[ModelInfo, ...]) -> dict[str, Mark]:
    """A `Mark` per model. Within a modality the last model of the list gets the full line."""
    lines: tuple[LineStyleType, ...] = ("-", "--", ":", "-.", LONG_DASHES)
    markers = ("o", "s", "D", "^", "v")
    found: dict[str, Mark] = {}
    used: dict[str, int] = {}
    for model in reversed(models):
        colour = COLOUR_OF_MODALITIES[frozenset(model.modalities)]
        rank = used.get(colour, 0) % len(lines)
        found[model.name] = Mark(colour, lines[rank], markers[rank])
        used[colour] = used.get(colour, 0) + 1
    return {model.name: found[model.name] for model in models}


def style() -> AbstractContextManager[None]:
    """A context in which figures get the look of the report, whatever the user's own settings."""
    return matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **_RC})


def save_svg(figure: Figure, path: str | os.PathLike) -> None:
    """Write an SVG, whole or not at all; equal figures give equal bytes (no date, fixed ids).

    Characters of labels that XML cannot hold are shown as U+FFFD: one of them makes a file that nothing opens.
    """
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    write_text(path, _NOT_XML.sub("\ufffd", drawn.getvalue()))


def canvas(height_in: float, *, rows: int = 1, columns: int = 1, **subplots: Any) -> tuple[Figure, np.ndarray]:
    """A figure of the report's width and its axes, shape (rows, columns)."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **subplots)


def panels(count: int, *, columns: int, panel_height_in: float, **subplots: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in rows of at most `columns`; spare places stay empty."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure, axes = canvas(rows * panel_height_in, rows=rows, columns=columns, **subplots)
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.set_axis_off()
    return figure, flat[:count]


def message(text: str) -> Figure:
    """A figure that says in words why there is nothing to draw."""
    figure = Figure(figsize=(WIDTH_IN, 0.6))
    figure.text(0.02, 0.5, text, va="center", color=MUTED)
    return figure


def wrap(text: object, width: int) -> str:
    """`text` broken into lines of at most `width` characters."""
    return textwrap.fill(str(text), width)


def draw_interval(axes: Axes, row: pd.Series, y: float, *, colour: str, marker: str, **marker_options: Any) -> None:
    """A point (`estimate`) with its interval (`ci_low`, `ci_high`); what is undefined leaves the line empty."""
    axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(row["estimate"], y, marker=marker, color=colour, markersize=6.5, linestyle="none", **marker_options)


def label_rows(axes: Axes, titles: Sequence[str], *, width: int = 26) -> None:
    """Rows of a forest plot, the first on top."""
    axes.set_yticks(range(len(titles)), [wrap(title, width) for title in titles])
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def shaded_cells(axes: Axes, counts: np.ndarray, shares: np.ndarray, *, colour: str, size: float) -> None:
    """Draw cells shaded by `shares` (0 to 1) with `counts` as text; both have shape (rows, columns)."""
    n_rows, n_columns = counts.shape
    for row in range(n_rows):
        for column in range(n_columns):
            share = float(shares[row, column])
            cell = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=colour, alpha=0.06 + 0.9 * share)
            axes.add_patch(cell)
            shade = PAPER if share > 0.5 else (INK if counts[row, column] else MUTED)
            label = str(int(counts[row, column]))
            axes.text(column, row, label, ha="center", va="center", color=shade, fontsize=size)
    axes.set(xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
