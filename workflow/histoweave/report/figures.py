"""All figures of a run as SVG files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from histoweave.report import figures_results, figures_run
from histoweave.report.inputs import ReportTables
from histoweave.report.style import save_svg, style

FIGURES: dict[str, Callable[[ReportTables], Figure]] = {
    "cohort_flow": figures_run.cohort_flow,
    "folds": figures_run.folds,
    "metrics": figures_results.metrics,
    "pr_curves": figures_results.pr_curves,
    "reliability": figures_results.reliability,
    "confusion": figures_results.confusion,
    "modality_use": figures_results.modality_use,
    "control": figures_results.control,
    "training": figures_run.training,
    "throughput": figures_run.throughput,
}


def draw_figures(*, tables: ReportTables, out_dir: str | os.PathLike) -> dict[str, Path]:
    """Write `<out_dir>/<name>.svg` for every name of `FIGURES` and return the paths by name.

    A figure that the run has no data for says so in words, so that the list of files never depends on the
    data. Equal tables give equal bytes.
    """
    paths = {}
    with style():
        for name, draw in FIGURES.items():
            paths[name] = Path(out_dir) / f"{name}.svg"
            save_svg(draw(tables), paths[name])
    return paths
