"""What the rules of the decision part ask: paths and parameters that follow from the configuration and the tables."""

from __future__ import annotations

from histoweave.errors import InputError, nearest
from histoweave.fusion import catalog
from histoweave.settings.config import Config
from histoweave.wiring import paths
from histoweave.wiring.paths import all_at, at
from histoweave.wiring.tissue import Wiring

NOT_SHOWN = ("calibrated", "conformal_scores")  # long, and behind the others
REFERENCE = "logistic_expression"


class DecideWiring:
    """Paths and parameters of the decision part of one run.

    Parameters
    ----------
    config : the whole configuration. wiring : the paths of the fusion models that it reads.

    Raises
    ------
    InputError
        if the configuration names a model that has no learning curve, or a column that the patients do not have.
    """

    def __init__(self, config: Config, wiring: Wiring):
        self.config = config
        self._wiring = wiring
        self._check_models()
        for cohort in self._wiring.trained():
            self._check_subgroups(cohort)

    def targets(self) -> list[str]:
        """All tables of all cohorts."""
        return [path for cohort in self._wiring.trained() for paths in self.tables(cohort).values() for path in paths]

    def tables(self, cohort: str) -> dict[str, list[str]]:
        """Name of a table: its file; without models that get a learning curve, none of that."""
        learning = paths.LEARNING if self.learning_models(cohort) else {}
        return {table: [path] for table, path in all_at(paths.DECIDE | learning, cohort=cohort).items()}

    def shown_tables(self, cohort: str) -> dict[str, list[str]]:
        """The tables that the report shows."""
        return {name: files for name, files in self.tables(cohort).items() if name not in NOT_SHOWN}

    def learning_models(self, cohort: str) -> list[str]:
        """Models of a cohort that get a learning curve.

        By default the last of those that read most modalities, and logistic regression on RNA, where it is fitted.
        """
        chosen, fitted = self.config.decide.learning_curve.models, self._wiring.models(cohort)
        if chosen is not None:
            return [model for model in fitted if model in chosen]
        infos = [catalog.get(model) for model in fitted]
        trained = [info for info in infos if info.modalities and not info.needs]
        most = max((len(info.modalities) for info in trained), default=0)
        last = [info.name for info in trained if len(info.modalities) == most][-1:]
        return [model for model in fitted if model in (*last, REFERENCE)]

    def learning_parts(self, cohort: str) -> list[str]:
        """The refitted folds of these models, by model, then k."""
        return [
            at(paths.LEARNING_FOLD, cohort=cohort, model=model, k=k)
            for model in self.learning_models(cohort)
            for k in range(self._wiring.n_splits())
        ]

    def learning_full(self, cohort: str) -> list[str]:
        """The predictions of the full fits, in the order of `learning_parts`."""
        models = self.learning_models(cohort)
        return self._wiring.fold_files(cohort, "fusion", "predictions", models) if models else []

    def learning_part_models(self, cohort: str) -> list[str]:
        """The model of each file of `learning_parts`."""
        return [model for model in self.learning_models(cohort) for _ in range(self._wiring.n_splits())]

    def _check_models(self) -> None:
        for model in self.config.decide.learning_curve.models or []:
            where = f"config: decide.learning_curve.models names '{model}'"
            if model not in self.config.fusion.models:
                known = self.config.fusion.models
                raise InputError(
                    f"{where}{nearest(model, known)}, which is not in fusion.models; add it there, or name one of them"
                )
            if catalog.get(model).needs:
                raise InputError(f"{where}, which combines other models and is not fitted; name one that is fitted")

    def _check_subgroups(self, cohort: str) -> None:
        table = self._wiring.tables[cohort]
        given = {"label_source", "label", "patient"}
        known = [column for column in table.patients.columns if column not in given]
        for column in self.config.decide.subgroups:
            if column not in known:
                raise InputError(
                    f"{table.cohort.patients}: column '{column}', which decide.subgroups names, is missing"
                    f"{nearest(column, known)}; there are {', '.join(known)}"
                )
