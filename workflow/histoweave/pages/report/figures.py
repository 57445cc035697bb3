"""All figures of a run: SVG files for paper, for `snakemake --report` and for readers without scripts, and interactive ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from histoweave.pages.kit.interactive import Plot
from histoweave.pages.kit.style import save_svg, style
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.sections import FIGURE_FILES, codes

_STILL = {name: draw for code in codes().values() for name, draw in code.still.items()}
# Those that stand on the page too.
FIGURES: dict[str, Callable[[ReportTables], Figure]] = {
    figure.name: _STILL[figure.name] for figure in FIGURE_FILES if figure.alt
}
# Of explanations and decisions: on the page they are interactive, with a table for paper.
FILES: dict[str, Callable[[ReportTables], Figure]] = {
    figure.name: _STILL[figure.name] for figure in FIGURE_FILES if not figure.alt
}
# Those of `FIGURES` in which a reader may want to point at something, and those that have a table for paper.
PLOTS: dict[str, Callable[[ReportTables], list[Plot]]] = {
    name: draw for code in codes().values() for name, draw in code.plots.items()
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
