"""All sections of the report, in the order of the page, and the parts of its table of contents."""

from __future__ import annotations

import functools

from histoweave.pages.report.decisions.sections import DECISIONS
from histoweave.pages.report.doubts.sections import CHECKS
from histoweave.pages.report.performance.sections import OVERVIEW, RESULTS
from histoweave.pages.report.run.sections import DATA, RUN
from histoweave.pages.report.section import Code, FigureFile, Section
from histoweave.pages.report.why.sections import EXPLANATIONS

PARTS: dict[str, tuple[Section, ...]] = {
    "Overview": OVERVIEW,
    "Data": DATA,
    "Results": RESULTS,
    "Checks": CHECKS,
    "Explanations": EXPLANATIONS,
    "Decisions": DECISIONS,
    "Run details": RUN,
}
SECTIONS: dict[str, Section] = {section.id: section for sections in PARTS.values() for section in sections}
FIGURE_FILES: tuple[FigureFile, ...] = tuple(figure for section in SECTIONS.values() for figure in section.figures)


@functools.cache
def codes() -> dict[str, Code]:
    """What computes and draws each section, by its id; imports all of it."""
    return {name: section.code() for name, section in SECTIONS.items()}
