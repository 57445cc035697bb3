"""Figures of what the models reached: intervals, curves, calibration, confusion, modality use."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histoweave.evaluation.metrics import TITLES
from histoweave.evaluation.sample import RANKING
from histoweave.pages.kit.style import (
    INK,
    MUTED,
    PAPER,
    canvas,
    draw_interval,
    label_rows,
    marks,
    message,
    panels,
    shaded_cells,
    wrap,
)
from histoweave.pages.report.inputs import ReportTables

_METRIC_TITLES = {name: TITLES[name] for name in RANKING}


def prevalence(tables: ReportTables, label: str) -> float:
    """Share of the scored patients whose true class is `label` (confusion matrix of the first model)."""
    rows = tables.confusion[tables.confusion["model"] == tables.models[0].name]
    total = rows["n"].sum()
    return float(rows.loc[rows["y_true"] == label, "n"].sum() / total) if total else float("nan")


def chance_level(tables: ReportTables, metric: str) -> float:
    """What a model without skill reaches in AUROC or average precision."""
    if metric == "auroc":
        return 0.5
    # The macro mean of one-versus-rest has no-skill level 1 / C, whatever the prevalences.
    return prevalence(tables, tables.classes[-1]) if len(tables.classes) == 2 else 1 / len(tables.classes)


def metrics(tables: ReportTables) -> Figure:
    """Forest plot: AUROC and average precision of every model with their bootstrap intervals."""
    mark = marks(tables.models)
    figure, grid = canvas(0.42 * len(tables.models) + 1.0, columns=2, sharey=True)
    for axes, (metric, title) in zip(grid[0], _METRIC_TITLES.items(), strict=True):
        rows = tables.estimates(metric).reindex(tables.titles)
        for y, (model, row) in enumerate(rows.iterrows()):
            draw_interval(axes, row, y, colour=mark[model].colour, marker=mark[model].marker)
        label_rows(axes, list(tables.titles.values()))
        axes.set_title(title)
        chance = chance_level(tables, metric)
        axes.axvline(chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        lowest = np.nanmin([chance, *rows["ci_low"], *rows["estimate"]])
        axes.set_xlim(max(0.0, np.floor(lowest * 10 - 0.2) / 10), 1.04)
    return figure


def pr_curves(tables: ReportTables) -> Figure:
    """Precision against recall per model, one panel per class, with the no-skill level (the prevalence)."""
    curves = tables.curves
    labels = [label for label in tables.classes if label in set(curves["class"])]
    if not labels:
        return message("No precision-recall curves: no class could be scored.")
    mark = marks(tables.models)
    columns = 1 if len(labels) == 1 else 2
    figure, flat = panels(len(labels), columns=columns, panel_height_in=4.6 if columns == 1 else 2.6)
    for axes, label in zip(flat, labels, strict=True):
        for model in tables.models:
            rows = curves[(curves["model"] == model.name) & (curves["class"] == label)]
            # Every step of recall keeps the precision reached at its end: its area is the average precision.
            rows = rows.sort_values(["recall", "precision"], ascending=[True, False])
            look = mark[model.name]
            axes.step(rows["recall"], rows["precision"], where="pre", color=look.colour, linestyle=look.line)
        axes.axhline(prevalence(tables, label), color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="Recall", ylabel="Precision", title=wrap(label, 30))
        axes.grid()
    lines = [
        Line2D([], [], color=mark[name].colour, linestyle=mark[name].line, label=wrap(title, 24))
        for name, title in tables.titles.items()
    ]
    lines.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="no skill (prevalence)"))
    figure.legend(handles=lines, loc="outside lower left", ncols=2, handlelength=2.6)
    return figure


def reliability(tables: ReportTables) -> Figure:
    """Accuracy against confidence in bins, one panel per model; a larger point holds more patients."""
    mark, ece = marks(tables.models), tables.estimates("ece")["estimate"]
    figure, flat = panels(len(tables.models), columns=2, panel_height_in=1.85, sharex=True, sharey=True)
    low = tables.reliability.loc[tables.reliability["n"] > 0, "confidence"].min()
    low = 0.0 if pd.isna(low) else np.floor(low * 10) / 10
    for index, (axes, model) in enumerate(zip(flat, tables.models, strict=True)):
        rows = tables.reliability[(tables.reliability["model"] == model.name) & (tables.reliability["n"] > 0)]
        colour = mark[model.name].colour
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.vlines(rows["confidence"], rows["confidence"], rows["accuracy"], color=colour, linewidth=1)
        area = 160 * rows["n"] / max(rows["n"].sum(), 1) + 10
        axes.scatter(rows["confidence"], rows["accuracy"], s=area, color=colour, edgecolor=PAPER, linewidth=0.8)
        axes.set(xlim=(low - 0.03, 1.03), ylim=(-0.05, 1.07))
        axes.set_title(f"{wrap(model.title, 34)}\nECE {ece.get(model.name, np.nan):.3f}", fontsize=9.5)
        axes.grid()
        if index % 2 == 0:
            axes.set_ylabel("Accuracy")
        if index + 2 >= len(tables.models):
            axes.set_xlabel("Confidence")
            axes.xaxis.set_tick_params(labelbottom=True)
    return figure


def confusion(tables: ReportTables) -> Figure:
    """Patients by true and predicted class, one matrix per model; the shade is the share of the true class."""
    n_classes = len(tables.classes)
    mark = marks(tables.models)
    figure, flat = panels(len(tables.models), columns=2, panel_height_in=1.8 if n_classes <= 3 else 2.5)
    names = [wrap(label, 11) for label in tables.classes]
    for index, (axes, model) in enumerate(zip(flat, tables.models, strict=True)):
        rows = tables.confusion[tables.confusion["model"] == model.name]
        counts = rows.pivot_table(index="y_true", columns="y_pred", values="n", aggfunc="sum")
        counts = counts.reindex(index=tables.classes, columns=tables.classes).fillna(0).to_numpy()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        shaded_cells(axes, counts, shares, colour=mark[model.name].colour, size=10 if n_classes <= 3 else 9)
        axes.set_xticks(range(n_classes), names, fontsize=8.5, rotation=0 if n_classes <= 3 else 35)
        axes.set_yticks(range(n_classes), names if index % 2 == 0 else [], fontsize=8.5)
        axes.set_title(wrap(model.title, 25), fontsize=9.5)
        axes.set_aspect("equal" if n_classes > 3 else 0.6)
        if index % 2 == 0:
            axes.set_ylabel("True class")
    figure.supxlabel("Predicted class", fontsize=10)
    return figure


def modality_use(tables: ReportTables) -> Figure:
    """AUROC with every modality in place, and with one of them permuted between test patients."""
    use = tables.modality_use[tables.modality_use["metric"] == "auroc"]
    used = [(model, modality) for model in tables.models for modality in sorted(model.modalities)]
    if use.empty or not used:
        return message("Not available: no model could be given the data of another patient.")
    rows = use.set_index(["model", "modality"])
    used = [(model, modality) for model, modality in used if (model.name, modality) in rows.index]
    colours = marks(tables.models)
    figure, grid = canvas(0.4 * len(used) + 1.1)
    axes = grid[0, 0]
    words = {"image": "image", "expression": "RNA"}
    for y, (model, modality) in enumerate(used):
        row = rows.loc[(model.name, modality)]
        colour = colours[model.name].colour
        axes.plot([row["permuted"], row["intact"]], [y, y], color=colour, linewidth=2.2)
        axes.plot(row["intact"], y, marker="o", color=colour, markersize=8)
        axes.plot(row["permuted"], y, marker="o", color=colour, markersize=8, markerfacecolor=PAPER)
        axes.annotate(
            words[modality], (min(row["permuted"], row["intact"]), y), (-9, 0),
            textcoords="offset points", ha="right", va="center", fontsize=9,
        )  # fmt: skip
    first_of_model = [i == 0 or used[i - 1][0] != used[i][0] for i in range(len(used))]
    label_rows(axes, [model.title if first else "" for (model, _), first in zip(used, first_of_model, strict=True)])
    axes.margins(x=0.16)
    least, most = axes.get_xlim()
    axes.set_xlim(least - 0.1 * (most - least), most)  # room for a word left of the first point
    axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel("AUROC")
    dots = [
        Line2D([], [], marker="o", linestyle="none", color=INK, markersize=8, label="original"),
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            color=INK,
            markerfacecolor=PAPER,
            markersize=8,
            label="from another patient",
        ),
    ]
    figure.legend(handles=dots, loc="outside upper right", ncols=2)
    return figure
