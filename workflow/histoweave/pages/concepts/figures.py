"""The figures of the page of concepts as SVG files, in the look of the report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from histoweave.pages.concepts.cards import ranked
from histoweave.pages.concepts.inputs import CohortTables, ConceptTables
from histoweave.pages.concepts.tables import LEVEL_TITLES, METRIC, REPRESENTATIONS, scores
from histoweave.pages.kit.style import (
    BLUE,
    GREY,
    INK,
    MUTED,
    PURPLE,
    VERMILLION,
    canvas,
    message,
    panels,
    save_svg,
    style,
)

MAX_POINTS = 1500
ALT = {
    "concept_scores": "Forest plot of the balanced accuracy of concepts and baselines with intervals",
    "concept_firing": "Share of images in which each concept is active, training cohort against every external cohort",
    "concept_activity": "Histogram of the logarithm of the mean activation of all concepts that are ever active, per cohort",
}


def draw_figures(*, tables: ConceptTables, dead_below: float, out_dir: str | os.PathLike) -> dict[str, Path]:
    """Write `<out_dir>/<name>.svg` for every name of `ALT` and return the paths by name.

    A figure without data says so in words. Equal tables give equal bytes.
    """
    draw: dict[str, Callable[[], Figure]] = {
        "concept_scores": lambda: concept_scores(tables),
        "concept_firing": lambda: concept_firing(tables),
        "concept_activity": lambda: concept_activity(tables, dead_below),
    }
    paths = {name: Path(out_dir) / f"{name}.svg" for name in ALT}
    with style():
        for name, path in paths.items():
            save_svg(draw[name](), path)
    return paths


def concept_scores(tables: ConceptTables) -> Figure:
    """Balanced accuracy of every representation with its interval, one panel per level."""
    found = {level: scores(tables.metrics, level, METRIC) for level in LEVEL_TITLES}
    found = {level: table for level, table in found.items() if len(table)}
    if not found:
        return message("Nothing was classified in this run.")
    names = [name for name in REPRESENTATIONS if any(name in table.index for table in found.values())]
    figure, grid = canvas(0.38 * len(names) + 1.0, columns=len(found), sharey=True)
    for axes, (level, table) in zip(grid[0], found.items(), strict=True):
        for y, name in enumerate(names):
            if name not in table.index or not np.isfinite(table.at[name, "estimate"]):
                continue
            row = table.loc[name]
            colour = PURPLE if name == "concepts" else GREY
            axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, solid_capstyle="round")
            axes.plot(row["estimate"], y, "o", color=colour, markersize=7 if name == "concepts" else 5.5)
        if "concepts" in table.index:
            axes.axvline(table.at["concepts", "estimate"], color=PURPLE, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.set(title=LEVEL_TITLES[level], ylim=(len(names) - 0.5, -0.5), xlabel="Balanced accuracy")
        axes.set_yticks(range(len(names)), [REPRESENTATIONS[name] for name in names])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
    return figure


def concept_firing(tables: ConceptTables) -> Figure:
    """Firing rates of the living concepts, training against external, one panel per external cohort."""
    if not tables.externals:
        return message("No external cohort is configured.")
    shown = ranked(tables)[:MAX_POINTS]
    x = tables.training.concepts["firing_rate"].reindex(shown)
    count = len(tables.externals)
    figure, flat = panels(count, columns=min(count, 2), panel_height_in=2.9 if count > 1 else 3.6)
    for axes, cohort in zip(flat, tables.externals, strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        y = cohort.concepts["firing_rate"].reindex(shown)
        axes.plot(x, y, "o", color=BLUE, markersize=2.6, markeredgewidth=0, alpha=0.55)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=cohort.name)
        axes.set(xlabel=f"Share of images, {tables.training.name}", ylabel=f"Share of images, {cohort.name}")
        axes.grid()
    return figure


def concept_activity(tables: ConceptTables, dead_below: float) -> Figure:
    """log10 of the mean activation where a concept fires; what lies left of the line counts as dead."""
    values = {cohort.name: _log_means(cohort) for cohort in tables.cohorts}
    joined = np.concatenate([*values.values()])
    if not len(joined):
        return message("No concept is active.")
    threshold = [np.log10(dead_below)] if dead_below > 0 else []
    low, high = np.floor(min(joined.min(), *threshold, 0)), np.ceil(joined.max())
    bins = np.linspace(low, max(high, low + 1), 49)
    figure, grid = canvas(2.6)
    axes = grid[0, 0]
    colours = [PURPLE, BLUE, VERMILLION, GREY]
    for place, (name, found) in enumerate(values.items()):
        look = {"color": colours[min(place, 3)], "label": name, "linewidth": 1.6}
        filled = {"histtype": "stepfilled", "alpha": 0.35} if place == 0 else {"histtype": "step"}
        axes.hist(found, bins=bins, **look, **filled)
    for value in threshold:
        axes.axvline(value, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlabel="log10 of the mean activation where a concept is active", ylabel="Number of concepts")
    axes.legend(loc="best")
    return figure


def _log_means(cohort: CohortTables) -> np.ndarray:
    means = cohort.concepts["mean_activation"].to_numpy(dtype=float)
    return np.log10(means[np.isfinite(means) & (means > 0)])
