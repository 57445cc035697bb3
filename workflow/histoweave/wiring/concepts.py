"""What the rule of `concepts.json` asks, and what a crate names of the cell arm."""

from __future__ import annotations

from histoweave.wiring import paths
from histoweave.wiring.cells import CellWiring
from histoweave.wiring.paths import at


class ConceptsWiring:
    """Paths and parameters of the concepts for programs.

    Parameters
    ----------
    cells : of the same run.
    """

    def __init__(self, cells: CellWiring):
        self.cells = cells

    def cohorts(self) -> list[str]:
        """Cohorts that have concepts: those that dictionaries were fitted on, then the external ones."""
        trained = self.cells.trained()
        return [*trained, *(self.cells.externals() if trained else [])]

    def targets(self) -> list[str]:
        """The file of every such cohort."""
        return [at(paths.CONCEPTS_JSON, cohort=cohort) for cohort in self.cohorts()]

    def dictionaries(self, cohort: str) -> dict[str, list[str]]:
        """Training cohort → the cohorts that the file says of its dictionary: all of its own, or the external one."""
        if cohort in self.cells.trained():
            return {cohort: self.cells.targets(cohort)}
        return {trained: [trained, cohort] for trained in self.cells.trained()}

    def inputs(self, cohort: str) -> dict[str, str | list[str]]:
        """What the file is made of."""
        if cohort in self.cells.trained():
            return {name: files for name, files in self.cells.page_inputs(cohort).items() if name != "tokens"}
        cells, trained = self.cells, self.cells.trained()
        history = paths.DICTIONARY_HISTORY
        return {
            "sae": [path for own in trained for path in (*cells.dictionary(own), cells.at(history, own, fit="seed0"))],
            "images": [cells.at(paths.IMAGES, name) for name in (*trained, cohort)],
            "found": [path for own in trained for on in (own, cohort) for path in cells.found(own, on)],
            "compared": [path for own in trained for path in cells.transferred(own, cohort)],
            "sources": self.cells.sources(cohort),
        }

    def shown_config(self, cohort: str) -> dict:
        """What the arm reads of the configuration, with its defaults; of an external cohort with all training ones."""
        shown = [self.cells.shown_config(trained) for trained in self.dictionaries(cohort)]
        cohorts = {name: settings for each in shown for name, settings in each["cohorts"].items()}
        if cohort not in self.cells.trained():
            cohorts = {name: cohorts[name] for name in (*self.cells.trained(), cohort)}
        return shown[0] | {"cohorts": cohorts}

    def crate_inputs(self, cohort: str) -> dict[str, list[str]]:
        """`sources`, `results`, `pages` of a crate (see `provenance`): what lies in the cohort's own folder."""
        own = [self.cells.at(paths.IMAGES, cohort), at(paths.CONCEPTS_JSON, cohort=cohort)]
        if cohort not in self.cells.trained():
            return {"sources": self._given(cohort), "results": own, "pages": []}
        inputs = self.cells.page_inputs(cohort)
        left_out = ("tokens", "images", "sources")
        files = [files for name, files in inputs.items() if name not in left_out]
        read = [path for each in files for path in ([each] if isinstance(each, str) else each)]
        read = [path for path in read if not path.endswith("history.parquet")]
        weights = [*self.cells.seed_files(cohort, "weights"), *self.cells.scoring_weights(cohort)]
        return {
            "sources": self._given(cohort),
            "results": list(dict.fromkeys([*own, *read, *weights])),
            "pages": [at(paths.CONCEPTS_PAGE, cohort=cohort)],
        }

    def _given(self, cohort: str) -> list[str]:
        weights = [] if self.cells.source == "tiles" else self.cells.encoder_weights(cohort)
        return [*self.cells.sources(cohort), *weights, *self.cells.review().values()]
