"""What the rules of the projected tiles ask: which arm reads which folds, and which models read the tiles."""

from __future__ import annotations

from histoweave.fusion import catalog
from histoweave.settings.config import Config
from histoweave.wiring import paths
from histoweave.wiring.paths import all_at, at
from histoweave.wiring.validation import CohortTables

_FOLDS = {"fusion": paths.FOLDS, "sites": paths.SITE_FOLDS, "control": paths.CONTROL_LABELS["folds"]}


def folds_of(cohort: str, arm: str) -> str:
    """The folds of an arm: `fusion`, `sites` or `control/shuffle<n>`."""
    return at(_FOLDS[arm.split("/")[0]], cohort=cohort)


class ProjectionWiring:
    """Paths of the summary of the tiles and of the projected tiles of one run.

    Parameters
    ----------
    config, tables : of the run.
    """

    def __init__(self, config: Config, tables: dict[str, CohortTables]):
        self._config, self._tables = config, tables

    def summary_inputs(self, cohort: str) -> dict[str, str]:
        """What the summary of the tiles reads."""
        return all_at({"patients": paths.PATIENTS, "slides": paths.SLIDES}, cohort=cohort)

    def summary(self, cohort: str) -> dict[str, str]:
        """The summary of the tiles, where the cohort has images."""
        return {"summary": at(paths.TILE_SUMMARY, cohort=cohort)} if self._tables[cohort].cohort.slides else {}

    def inputs(self, cohort: str, arm: str) -> dict[str, str]:
        """What projecting the tiles of an arm's folds reads."""
        return {"slides": at(paths.SLIDES, cohort=cohort), "folds": folds_of(cohort, arm), **self.summary(cohort)}

    def files(self) -> list[str]:
        """The projected tiles of every fold, as patterns of cohort and arm."""
        return [at(paths.PROJECTED, k=k) for k in range(self._config.folds.n_folds * self._config.folds.repeats)]

    def reads_tiles(self, cohort: str, model: str) -> bool:
        """Whether a model reads projected tiles: a network that looks at the image, or one that is made of such."""
        info = catalog.get(model)
        return bool(self._tables[cohort].cohort.slides) and catalog.IMAGE in info.modalities and not info.pooled
