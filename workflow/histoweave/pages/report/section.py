"""What a section of the report is: one declaration, read by the page, the figures, `report.json` and the rule.

Every start of Snakemake reads the declarations, so nothing here, and nothing at the top of a module of declarations, may
import what computes or draws: a section's `code` imports that when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from histoweave.pages.kit.interactive import Plot
    from histoweave.pages.report.inputs import ReportTables


def _nothing(tables: ReportTables) -> dict[str, Any]:
    return {}


def _no_sentences(tables: ReportTables) -> list[str]:
    return []


@dataclass(frozen=True, kw_only=True)
class FigureFile:
    """A still figure, `figures/<name>.svg`; its caption in Snakemake's own report is `workflow/report/<name>.rst`.

    Attributes
    ----------
    category, what : where Snakemake's report lists it, and as what.
    alt : what it shows in words, for readers who cannot see it. Empty: on the page the figure is interactive only, with a
        table for paper.
    """

    name: str
    category: str
    what: str
    alt: str = ""


@dataclass(frozen=True, kw_only=True)
class Code:
    """What computes and draws a section; every function gets the tables of the run and changes none.

    Attributes
    ----------
    content : what the section's fragment of the page names as `here`; sections with the same function share one call.
    summary : sentences for "Other findings".
    programs : keys of `report.json` besides the section's `rows`; plain values.
    still : name of a `FigureFile`: the function that draws it. Without data it draws a sentence that says so.
    plots : name: interactive figures, an empty list without data. Where a still figure of that name is on the page, these
        stand in its place on screen.
    """

    content: Callable[[ReportTables], Mapping[str, Any]] = _nothing
    summary: Callable[[ReportTables], list[str]] = _no_sentences
    programs: Callable[[ReportTables], Mapping[str, Any]] = _nothing
    still: Mapping[str, Callable[[ReportTables], Figure]] = field(default_factory=dict)
    plots: Mapping[str, Callable[[ReportTables], list[Plot]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the report. Its fragment of the page is `<id>.html.j2`, in the folder of its code.

    Attributes
    ----------
    code : imports and returns what computes and draws it.
    figures : its still figures.
    rows : tables (see `ReportTables.named`) whose rows `report.json` holds under their names.
    reads : name of a table: its file below `results/<cohort>/`, which the report needs for this section. A name of
        `ReportInputs` fills that field; every other table is found by `ReportTables.named`.
    """

    id: str
    title: str
    code: Callable[[], Code] = Code
    figures: tuple[FigureFile, ...] = ()
    rows: tuple[str, ...] = ()
    reads: Mapping[str, str] = field(default_factory=dict)
