"""The text of a report, with its figures or without."""

from __future__ import annotations

import shutil
from pathlib import Path

from histoweave.pages.kit.style import message, save_svg, style
from histoweave.pages.report.figures import FIGURES, draw_figures
from histoweave.pages.report.inputs import ReportInputs, read_tables
from histoweave.pages.report.page import write_report


def text_with_figures(inputs: ReportInputs, out: Path) -> str:
    draw_figures(tables=read_tables(inputs), out_dir=inputs.figures)
    write_report(inputs, out)
    return out.read_text(encoding="utf-8")


def text_of(inputs: ReportInputs, out: Path) -> str:
    """The page of a run whose figures do not matter: those that were drawn, else empty ones. Drawing takes longer."""
    if not inputs.figures.is_dir():
        with style():
            save_svg(message(""), out.with_suffix(".svg"))
        inputs.figures.mkdir(parents=True)
        for name in FIGURES:
            shutil.copyfile(out.with_suffix(".svg"), inputs.figures / f"{name}.svg")
    write_report(inputs, out)
    return out.read_text(encoding="utf-8")
