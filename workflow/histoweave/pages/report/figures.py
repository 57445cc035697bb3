"""All figures of a run: SVG files for paper, for `snakemake --report` and for readers without scripts, and interactive ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from histoweave.pages.kit.interactive import Plot
from histoweave.pages.kit.style import save_svg, style
from histoweave.pages.report.decisions import interactive as plots_decide
from histoweave.pages.report.decisions import still as figures_decide
from histoweave.pages.report.doubts import control as control_views
from histoweave.pages.report.doubts import still as figures_confounding
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.performance import interactive as plots_results
from histoweave.pages.report.performance import roc as figures_roc
from histoweave.pages.report.performance import still as figures_results
from histoweave.pages.report.run import still as figures_run
from histoweave.pages.report.why import interactive as plots_explain
from histoweave.pages.report.why import still as figures_explain

# Those that stand on the page too.
FIGURES: dict[str, Callable[[ReportTables], Figure]] = {
    "cohort_flow": figures_run.cohort_flow,
    "folds": figures_run.folds,
    "metrics": figures_results.metrics,
    "roc_curves": figures_roc.roc_curves,
    "pr_curves": figures_results.pr_curves,
    "reliability": figures_results.reliability,
    "confusion": figures_results.confusion,
    "confounding": figures_confounding.confounding,
    "modality_use": figures_results.modality_use,
    "control": control_views.still,
    "training": figures_run.training,
    "throughput": figures_run.throughput,
}
# Of explanations and decisions: on the page they are interactive, with a table for paper.
FILES: dict[str, Callable[[ReportTables], Figure]] = {
    "explanation_tests": figures_explain.tests,
    "faithfulness": figures_explain.faithfulness,
    "genes": figures_explain.genes,
    "gene_sets": figures_explain.gene_sets,
    "morphology": figures_explain.morphology,
    "explained_concepts": figures_explain.concepts,
    "calibration": figures_decide.calibration,
    "conformal": figures_decide.conformal,
    "selective": figures_decide.selective,
    "decision_curve": figures_decide.decision_curve,
    "subgroups": figures_decide.subgroups,
    "learning": figures_decide.learning,
}
# Those of `FIGURES` in which a reader may want to point at something, and those that have a table for paper.
PLOTS: dict[str, Callable[[ReportTables], list[Plot]]] = {
    "metrics": plots_results.metrics,
    "roc_curves": figures_roc.roc_plots,
    "pr_curves": plots_results.pr_curves,
    "reliability": plots_results.reliability,
    "control": control_views.interactive,
    "training": plots_results.training,
    "throughput": plots_results.throughput,
    "faithfulness": plots_explain.faithfulness,
    "genes": plots_explain.genes,
    "gene_sets": plots_explain.gene_sets,
    "concepts": plots_explain.concepts,
    "morphology": plots_explain.morphology,
    "patient": plots_explain.patient,
    "calibration": plots_decide.calibration,
    "conformal": plots_decide.conformal,
    "selective": plots_decide.selective,
    "decision_curve": plots_decide.decision_curve,
    "learning": plots_decide.learning,
}


def draw_plots(tables: ReportTables) -> dict[str, list[Plot]]:
    """The interactive figures by name; an empty list where the run has no data for them."""
    return {name: draw(tables) for name, draw in PLOTS.items()}


def draw_figures(*, tables: ReportTables, out_dir: str | os.PathLike) -> dict[str, Path]:
    """Write `<out_dir>/<name>.svg` for every name of `FIGURES` and `FILES` and return the paths by name.

    A figure that the run has no data for says so in words, so that the list of files never depends on the
    data. Equal tables give equal bytes.
    """
    paths = {}
    with style():
        for name, draw in (FIGURES | FILES).items():
            paths[name] = Path(out_dir) / f"{name}.svg"
            save_svg(draw(tables), paths[name])
    return paths
