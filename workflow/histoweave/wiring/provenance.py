"""What the rule of provenance asks."""

from __future__ import annotations

from histoweave.fusion import catalog
from histoweave.wiring import paths
from histoweave.wiring.concepts import ConceptsWiring
from histoweave.wiring.paths import at
from histoweave.wiring.report import ReportWiring

TISSUE = "Cross-validated classification of patients from whole-slide images and bulk RNA."
CONCEPTS = "Concepts of sparse autoencoders on tokens of {what}, their scores, and how they hold in other cohorts."


class ProvenanceWiring:
    """Which files a crate tells of.

    Parameters
    ----------
    report : of the cohorts with slides or RNA.
    concepts : of the cohorts that have concepts.
    """

    def __init__(self, report: ReportWiring, concepts: ConceptsWiring):
        self._report, self._wiring, self._concepts = report, report.wiring, concepts

    def crates(self) -> list[str]:
        """The crate of every such cohort, external ones only if they have concepts."""
        cohorts = dict.fromkeys([*self._wiring.trained(), *self._concepts.cohorts()])
        return [at(paths.CRATE, cohort=cohort) for cohort in cohorts]

    def inputs(self, cohort: str) -> dict[str, list[str]]:
        """`sources` (the user's files), `results` (the same in equal runs) and `pages` (which tell of times); besides
        the tables whose ids get pseudonyms: `patients`, `images`."""
        parts = [self._of_tissue(cohort)] if self._has_tissue(cohort) else []
        parts += [self._concepts.crate_inputs(cohort)] if self._has_concepts(cohort) else []
        inputs = {
            name: list(dict.fromkeys(path for part in parts for path in part[name]))
            for name in ("sources", "results", "pages")
        }
        if self._has_tissue(cohort):
            inputs["patients"] = [at(paths.PATIENTS, cohort=cohort)]
        if self._has_concepts(cohort):
            inputs["images"] = [self._concepts.cells.at(paths.IMAGES, cohort)]
        return inputs

    def description(self, cohort: str) -> str:
        """What the results are, in a sentence or two."""
        what = "tiles" if self._concepts.cells.source == "tiles" else "cells"
        said = [TISSUE] if self._has_tissue(cohort) else []
        return " ".join([*said, *([CONCEPTS.format(what=what)] if self._has_concepts(cohort) else [])])

    def shown_config(self, cohort: str) -> dict:
        """The configuration of what was made, with its defaults."""
        if not self._has_tissue(cohort):
            return self._concepts.shown_config(cohort)
        shown = self._wiring.shown_config(cohort)
        if not self._has_concepts(cohort):
            return shown
        of_concepts = self._concepts.shown_config(cohort)
        return of_concepts | shown | {"cohorts": of_concepts["cohorts"] | shown["cohorts"]}

    def code_of_stages(self, cohort: str) -> dict[str, str]:
        """The code fingerprint of every stage of what was made."""
        found = self._concepts.cells.code_of_stages() if self._has_concepts(cohort) else {}
        return found | (self._wiring.code_of_stages() if self._has_tissue(cohort) else {})

    def _has_tissue(self, cohort: str) -> bool:
        return cohort in self._wiring.trained()

    def _has_concepts(self, cohort: str) -> bool:
        return cohort in self._concepts.cohorts()

    def _of_tissue(self, cohort: str) -> dict[str, list[str]]:
        given = self._report.inputs(cohort)
        left_out = ("sources", "histories", "slide_indexes", "overlay_indexes")
        read = [files for name, files in given.items() if name not in left_out]
        tables = [path for files in read for path in ([files] if isinstance(files, str) else files)]
        fitted = self._wiring.fold_files(cohort, "fusion", "model")
        fusion = self._wiring.config.fusion
        own = [key for model in self._wiring.models(cohort) for key in catalog.get(model).own_settings]
        named = [path for path in (fusion.gene_sets, *(getattr(fusion, key) for key in own)) if path]
        weights = self._wiring.encoder_weights() if "slides" in given else []
        return {
            "sources": list(dict.fromkeys([*given["sources"], *weights, *named])),
            "results": [
                *tables,
                *fitted,
                *(at(path, cohort=cohort) for path in (paths.REPORT_JSON, paths.METRICS_TSV)),
            ],
            "pages": [at(paths.REPORT, cohort=cohort)],
        }
