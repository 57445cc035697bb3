"""What the rules of the side check `sites` ask: which cohorts and models it is for, and its files."""

from __future__ import annotations

from histoweave.cohort.site_folds import is_planned
from histoweave.fusion import catalog
from histoweave.settings.config import Config
from histoweave.wiring import paths
from histoweave.wiring.paths import at
from histoweave.wiring.tissue import Wiring


class SiteWiring:
    """Paths and parameters of the side check of one run.

    Parameters
    ----------
    config : the whole configuration. wiring : of the same run.
    """

    def __init__(self, config: Config, wiring: Wiring):
        self._config, self._wiring = config, wiring

    def cohorts(self) -> list[str]:
        """Training cohorts that get the side check."""
        tables = self._wiring.tables
        return [
            name for name in self._wiring.trained() if is_planned(tables[name].patients, settings=self._config.folds)
        ]

    def targets(self) -> list[str]:
        """The metrics of every such cohort."""
        return [path for cohort in self.cohorts() for path in self.metrics(cohort)]

    def metrics(self, cohort: str) -> list[str]:
        """The metrics of a cohort's side check, empty where it has none."""
        return [at(paths.SITE_METRICS, cohort=cohort)] if cohort in self.cohorts() else []

    def models(self, cohort: str) -> list[str]:
        """The models that are not neural, and the main fusion model: the last fitted one that reads both modalities."""
        infos = [info for info in map(catalog.get, self._wiring.models(cohort)) if not info.needs]
        fused = [info for info in infos if len(info.modalities) > 1][-1:]
        return [info.name for info in infos if not info.neural or info in fused]

    def fold_files(self, cohort: str) -> list[str]:
        """The predictions of every fold, by model, then k."""
        models = self.models(cohort)
        return self._wiring.fold_files(cohort, "sites", "predictions", models) if models else []

    def fold_models(self, cohort: str) -> list[str]:
        """The model of each file of `fold_files`."""
        return [model for model in self.models(cohort) for _ in range(self._wiring.n_splits())]
