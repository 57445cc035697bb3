"""What the rules of the negative control ask."""

from __future__ import annotations

from histoweave.fusion import catalog
from histoweave.settings.config import Config
from histoweave.wiring.tissue import Wiring


class ControlWiring:
    """Paths of the models that are refitted on shuffled labels.

    A reference (a model without a network) is refitted on all shuffles in one job; a neural model, and one that is made of
    others, on one shuffle a job. A model that reads nothing of a patient is left out.

    Parameters
    ----------
    config, wiring : of the same run.
    """

    def __init__(self, config: Config, wiring: Wiring):
        self._settings, self._wiring = config.control, wiring

    def shuffles(self) -> int:
        """Number of shuffles that are drawn."""
        return max(self._settings.shuffles, self._settings.network_shuffles)

    def inputs(self, cohort: str, model: str, n: str = "") -> dict[str, str]:
        """What refitting a model reads: on all shuffles, or on the `n`-th."""
        inputs = self._wiring.fold_inputs(cohort, "fusion", model, "0")
        root, needs = f"results/{cohort}/control", catalog.get(model).needs
        inputs |= {"labels": f"{root}/labels.parquet", "folds": f"{root}/folds.parquet"}
        return inputs | {f"needs_{needed}": f"{root}/{needed}/shuffle{n}/predictions.parquet" for needed in needs}

    def refits(self, cohort: str) -> list[str]:
        """Predictions on shuffled labels, by model, then shuffle."""
        root = f"results/{cohort}/control"
        return [f"{root}/{folder}/predictions.parquet" for _, folder in self._refits(cohort)]

    def refitted(self, cohort: str) -> list[str]:
        """The model of each file that `refits` lists."""
        return [model for model, _ in self._refits(cohort)]

    def _refits(self, cohort: str) -> list[tuple[str, str]]:
        pairs = []
        for info in map(catalog.get, self._wiring.models(cohort)):
            if not info.modalities:
                continue  # what reads nothing of a patient ranks nobody, whatever the labels
            if info.neural or info.needs:
                pairs += [(info.name, f"{info.name}/shuffle{n}") for n in range(self._settings.network_shuffles)]
            else:
                pairs.append((info.name, info.name))
        return pairs
