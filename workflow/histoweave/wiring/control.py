"""What the rules of the negative control ask."""

from __future__ import annotations

from histoweave.fusion import catalog
from histoweave.settings.config import Config
from histoweave.wiring import paths
from histoweave.wiring.paths import all_at, at
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

    def inputs(self, cohort: str, model: str, n: str = "") -> dict[str, str | list[str]]:
        """What refitting a model reads: on all shuffles, or on the `n`-th."""
        arm, needs = f"control/shuffle{n}", catalog.get(model).needs
        inputs: dict[str, str | list[str]] = dict(self._wiring.fit_inputs(cohort, arm, model))
        inputs |= all_at(paths.CONTROL_LABELS, cohort=cohort)
        if needs:
            found = {name: at(paths.CONTROL_NETWORK, cohort=cohort, model=name, n=n) for name in needs}
            return inputs | {f"needs_{name}": path for name, path in found.items()}
        if self._wiring.projection.reads_tiles(cohort, model):
            inputs["projected"] = [at(path, cohort=cohort, arm=arm) for path in self._wiring.projection.files()]
        return inputs

    def refits(self, cohort: str) -> list[str]:
        """Predictions on shuffled labels, by model, then shuffle."""
        return [path for _, path in self._refits(cohort)]

    def refitted(self, cohort: str) -> list[str]:
        """The model of each file that `refits` lists."""
        return [model for model, _ in self._refits(cohort)]

    def _refits(self, cohort: str) -> list[tuple[str, str]]:
        pairs = []
        for info in map(catalog.get, self._wiring.models(cohort)):
            if not info.modalities:
                continue  # what reads nothing of a patient ranks nobody, whatever the labels
            if info.neural or info.needs:
                path = at(paths.CONTROL_NETWORK, cohort=cohort, model=info.name)
                pairs += [(info.name, at(path, n=n)) for n in range(self._settings.network_shuffles)]
            else:
                pairs.append((info.name, at(paths.CONTROL_REFERENCE, cohort=cohort, model=info.name)))
        return pairs
