"""Figures of how the run went: cohort flow, folds, training, time."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from histoweave.pages.kit.style import BLUE, INK, MUTED, PURPLE, canvas, marks, message, panels, shaded_cells, wrap
from histoweave.pages.report.inputs import ReportTables

_ROLES = {"train": "Train", "val": "Validation", "test": "Test"}
_MAX_STRATA = 24


def cohort_flow(tables: ReportTables) -> Figure:
    """Kept and lost at each step, as a share of what its unit (patients, slides, samples) began with."""
    flow = tables.flow.reset_index(drop=True)
    if flow.empty:
        return message("No cohort flow: the flow table is empty.")
    figure, grid = canvas(0.5 * len(flow) + 0.6)
    axes = grid[0, 0]
    start = flow.groupby("unit")["n_in"].transform("max").clip(lower=1)
    for y, row in flow.iterrows():
        kept, lost = row["n_out"] / start[y], row["n_lost"] / start[y]
        axes.barh(y, kept, color=BLUE, height=0.62)
        axes.barh(y, lost, left=kept, color=PURPLE, height=0.62)
        words = f"{row['n_out']} {row['unit']}" + (f", {row['n_lost']} excluded" if row["n_lost"] else "")
        axes.text(1.03, y, words, va="center", color=INK)
    # A step has one row per reason: the reason tells its rows apart.
    names = (f"{row.step}: {row.reason}" if row.n_lost else row.step for row in flow.itertuples())
    axes.set_yticks(range(len(flow)), [wrap(textwrap.shorten(name, 56), 28) for name in names])
    axes.set(xlim=(0, 1.9), ylim=(len(flow) - 0.5, -0.5), xticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    patches = [Patch(color=BLUE, label="kept"), Patch(color=PURPLE, label="excluded")]
    figure.legend(handles=patches, loc="outside upper right", ncols=2)
    return figure


def fold_counts(tables: ReportTables, *, repeat: int = 0) -> pd.DataFrame:
    """Patients per `label`, `site` (rows) and `role`, `fold` (columns) of one repeat.

    The site is 'unknown' where it is missing, and 'all' if no patient has one.
    """
    patients = tables.patients[["patient", "label"]].copy()
    known = tables.patients["site"] if "site" in tables.patients else pd.Series(index=patients.index, dtype=object)
    patients["site"] = known.fillna("unknown") if known.notna().any() else "all"
    rows = tables.folds[tables.folds["repeat"] == repeat].merge(patients, on="patient", validate="many_to_one")
    counts = rows.groupby(["label", "site", "role", "fold"]).size().unstack(["role", "fold"], fill_value=0)
    columns = [(role, fold) for role in _ROLES for fold in sorted(rows["fold"].unique())]
    order = pd.MultiIndex.from_tuples(columns, names=["role", "fold"])
    return counts.reindex(columns=order, fill_value=0).sort_index()


def folds(tables: ReportTables) -> Figure:
    """Patients per class and site in the parts of every fold (first repeat)."""
    counts = fold_counts(tables)
    if len(counts) > _MAX_STRATA:
        size = counts.sum(axis=1).groupby("site").sum().sort_values(ascending=False, kind="stable")
        kept = set(size.index[: max(_MAX_STRATA // len(tables.classes) - 1, 1)])
        sites = counts.index.get_level_values("site")
        counts = counts.groupby(
            [
                counts.index.get_level_values("label"),
                [site if site in kept else "other sites" for site in sites],
            ]
        ).sum()
    names = [wrap(label if site == "all" else f"{label}, {site}", 26) for label, site in counts.index]
    numbers = counts.columns.get_level_values("fold").unique()
    figure, grid = canvas(0.29 * len(counts) + 1.0, columns=3, sharey=True)
    for axes, (role, title) in zip(grid[0], _ROLES.items(), strict=True):
        part = counts[role].to_numpy()
        shares = part / max(counts.to_numpy().max(), 1)
        shaded_cells(axes, part, shares, colour=BLUE, size=8.5 if len(numbers) <= 6 else 6)
        axes.set_title(title)
        axes.set_xticks(range(len(numbers)), numbers, fontsize=9 if len(numbers) <= 10 else 6)
        axes.set_yticks(range(len(names)), names)
    figure.supxlabel("Fold", fontsize=10)
    return figure


def training(tables: ReportTables) -> Figure:
    """Training and validation loss per epoch, one line per fold and network; a dot marks the epoch that was kept."""
    shown = [m for m in tables.models if any(len(history) for history in tables.histories.get(m.name, ()))]
    if not shown:
        return message("No training curves: no model in this run is trained in epochs.")
    mark = marks(tables.models)
    columns = 1 if len(shown) == 1 else 2
    figure, flat = panels(len(shown), columns=columns, panel_height_in=2.4)
    for index, (axes, model) in enumerate(zip(flat, shown, strict=True)):
        colour = mark[model.name].colour
        for fold in tables.histories[model.name]:
            for _, history in fold.groupby("member"):
                axes.plot(history["epoch"], history["train_loss"], color=MUTED, linewidth=0.7, alpha=0.4)
                axes.plot(history["epoch"], history["val_loss"], color=colour, linewidth=0.9, alpha=0.6)
                best = history[history["best"]]
                axes.plot(best["epoch"], best["val_loss"], "o", color=colour, markersize=3)
        axes.set_title(wrap(model.title, 24))
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        if index % columns == 0:
            axes.set_ylabel("Loss")
        if index + columns >= len(shown):
            axes.set_xlabel("Epoch")
    lines = [
        Line2D([], [], color=MUTED, linewidth=1, label="training"),
        Line2D([], [], color=INK, linewidth=1.4, label="validation"),
        Line2D([], [], marker="o", linestyle="none", color=INK, markersize=5, label="kept epoch"),
    ]
    figure.legend(handles=lines, loc="outside upper right", ncols=3)
    return figure


def stage_times(tables: ReportTables) -> pd.DataFrame:
    """Per stage, the slowest in total first: `jobs`, `total_s`, `median_s`, `jobs_per_min`, `max_rss_mb`."""
    times = tables.benchmarks.groupby("stage").agg(
        jobs=("seconds", "size"),
        total_s=("seconds", "sum"),
        median_s=("seconds", "median"),
        max_rss_mb=("max_rss_mb", "max"),
    )
    times["jobs_per_min"] = 60 * times["jobs"] / times["total_s"].where(times["total_s"] > 0)
    return times.sort_values("total_s", ascending=False, kind="stable")


def throughput(tables: ReportTables) -> Figure:
    """Seconds per job, one dot per job, and the median of the stage."""
    times = stage_times(tables)
    if times.empty:
        return message("Not available: this run has no benchmark files.")
    figure, grid = canvas(0.34 * len(times) + 0.9)
    axes = grid[0, 0]
    for y, stage in enumerate(times.index):
        seconds = tables.benchmarks.loc[tables.benchmarks["stage"] == stage, "seconds"]
        axes.plot(seconds, np.full(len(seconds), y), "o", color=BLUE, alpha=0.35, markersize=5, markeredgewidth=0)
        axes.plot(times.loc[stage, "median_s"], y, "|", color=INK, markersize=13, markeredgewidth=2)
    axes.set_xscale("log")
    axes.set_yticks(range(len(times)), [wrap(stage, 34) for stage in times.index])
    axes.set_ylim(len(times) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("Seconds per job (bar: median)")
    axes.xaxis.set_major_formatter("{x:g}")
    return figure
