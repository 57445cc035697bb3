"""What the report reads, of all stages, and which other pages it leads to."""

from __future__ import annotations

import os
from pathlib import Path

from histoweave.pages.report.section import FigureFile
from histoweave.pages.report.sections import FIGURE_FILES, SECTIONS
from histoweave.wiring import paths
from histoweave.wiring.apply import ApplyWiring
from histoweave.wiring.cells import CellWiring
from histoweave.wiring.decide import DecideWiring
from histoweave.wiring.explain import ExplainWiring
from histoweave.wiring.paths import at
from histoweave.wiring.tissue import Wiring


class ReportWiring:
    """Paths and parameters of the report of one run.

    Parameters
    ----------
    wiring, explain, decide, cells, apply : of the same run.
    """

    def __init__(
        self, wiring: Wiring, explain: ExplainWiring, decide: DecideWiring, cells: CellWiring, apply: ApplyWiring
    ):
        self.wiring, self._explain, self._decide = wiring, explain, decide
        self._pages = {f"Concepts of {name}": page for name, page in cells.pages_by_cohort().items()}
        self._apply = apply

    def pages(self) -> list[str]:
        """The report of every cohort that models are fitted on."""
        return [at(paths.REPORT, cohort=cohort) for cohort in self.wiring.trained()]

    def figures(self) -> tuple[FigureFile, ...]:
        """The figures that the report writes as files, of every run."""
        return FIGURE_FILES

    def inputs(self, cohort: str) -> dict[str, str | list[str]]:
        """Tables by the names of `pages.report.inputs.ReportInputs`, those of a part of the run with its name before theirs,
        and the files that sections say they read."""
        inputs = self.wiring.report_inputs(cohort)
        inputs |= {
            name: f"{at(paths.ROOT, cohort=cohort)}/{file}"
            for section in SECTIONS.values()
            for name, file in section.reads.items()
        }
        parts = {"explain": self._explained(cohort), "decide": self._decide.shown_tables(cohort)}
        inputs |= {f"{part}_{name}": files for part, tables in parts.items() for name, files in tables.items()}
        inputs["sources"] = [
            *inputs["sources"],
            *(self._explain.gene_sets().values() if self.shown_model(cohort) else ()),
        ]
        return inputs | {"overlay_indexes": self._explain.overlay_indexes(cohort, self.shown_model(cohort))}

    def shown_model(self, cohort: str) -> str:
        """The model whose explanations the page shows: the last that is explained; empty without."""
        return "".join(self._explain.models(cohort)[-1:])

    def _explained(self, cohort: str) -> dict[str, list[str]]:
        model = self.shown_model(cohort)
        return self._explain.shown_tables(cohort, model) if model else {}

    def overlays(self, cohort: str) -> str:
        """The folder of the attribution overlays (`<slide>.png`), empty where no image is explained."""
        indexes = self._explain.overlay_indexes(cohort, self.shown_model(cohort))
        return str(Path(indexes[0]).parents[1]) if indexes else ""

    def links(self, cohort: str) -> dict[str, str]:
        """Title of another page of the run: its address as seen from the report of a cohort."""
        pairs = zip(self._apply.pairs(), self._apply.pages(), strict=True)
        applied = {f"Applied to {target}": page for (target, of), page in pairs if of == cohort}
        return {
            title: os.path.relpath(page, at(paths.ROOT, cohort=cohort))
            for title, page in (self._pages | applied).items()
        }
