"""What the rule on confounding asks: its inputs and the columns that it looks at."""

from __future__ import annotations

from histoweave.errors import InputError, nearest
from histoweave.settings.config import Config
from histoweave.wiring import paths
from histoweave.wiring.paths import at
from histoweave.wiring.sites import SiteWiring
from histoweave.wiring.tissue import Wiring

_NOT_COLUMNS = {"label_source", "label", "patient"}
# Columns that the join adds to the patients: one of the user by such a name could not be told from them.
_ADDED = {"n_slides", "has_image", "has_expression", "complete", "included", "reason"}


class ConfoundingWiring:
    """Paths of one run.

    Parameters
    ----------
    config : the whole configuration. wiring : the paths of the fusion models. sites : those of the side check.

    Raises
    ------
    InputError
        if `evaluation.confounders` names a column that the patients of a cohort do not have.
    """

    def __init__(self, config: Config, wiring: Wiring, sites: SiteWiring):
        self.config, self._wiring, self._sites = config, wiring, sites
        for cohort in wiring.trained():
            self._check_columns(cohort)

    def inputs(self, cohort: str) -> dict[str, str | list[str]]:
        """What the rule reads; slides and RNA where the cohort has them."""
        given = self._wiring.tables[cohort].cohort
        inputs: dict[str, str | list[str]] = {
            "predictions": at(paths.EVALUATION["predictions"], cohort=cohort),
            "patients": at(paths.PATIENTS, cohort=cohort),
            "folds": at(paths.FOLDS, cohort=cohort),
            "folds_json": at(paths.HOW_FOLDED, cohort=cohort),
            "whole_sites": self.whole_sites(cohort),
        }
        if given.slides:
            inputs["slides"] = at(paths.SLIDES, cohort=cohort)
            inputs |= self._wiring.projection.summary(cohort)
        if given.expression:
            inputs["expression"] = at(paths.EXPRESSION["expression"], cohort=cohort)
        return inputs

    def whole_sites(self, cohort: str) -> list[str]:
        """The metrics of the side check on folds of whole sites, none where there is no such check."""
        return self._sites.metrics(cohort)

    def _check_columns(self, cohort: str) -> None:
        table = self._wiring.tables[cohort]
        known = [column for column in table.patients.columns if column not in _NOT_COLUMNS | _ADDED]
        for column in self.config.evaluation.confounders:
            if column not in known:
                raise InputError(
                    f"{table.cohort.patients}: column '{column}', which evaluation.confounders names, is missing"
                    f"{nearest(column, known)}; there are {', '.join(known)}"
                )
