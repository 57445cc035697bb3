"""The table `choice` by models and pairs: AUROCs and differences whose intervals allow for choosing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from histoweave.evaluation.choice import FUSION_SINGLE, MODELS, PAIRS
from histoweave.fusion.catalog import ModelInfo

CHANCE = 0.5


@dataclass(frozen=True)
class Number:
    """An estimate with its interval; bounds that are unknown are NaN."""

    estimate: float
    ci_low: float
    ci_high: float

    def turned(self) -> Number:
        """The same difference the other way round."""
        return Number(-self.estimate, -self.ci_high, -self.ci_low)


class ChosenScores:
    """The table `choice` by models and pairs."""

    def __init__(self, choice: pd.DataFrame, models: Sequence[ModelInfo]):
        rows = {(row["family"], row["model_a"], row["model_b"]): row for row in choice.to_dict("records")}
        self._pairs = {
            (a, b): number_of(row) for (family, a, b), row in rows.items() if family in (FUSION_SINGLE, PAIRS)
        }
        self.auroc = {a: number_of(row) for (family, a, _), row in rows.items() if family == MODELS}
        self.models = {model.name: model for model in models if model.name in self.auroc}
        self.n = max((int(row["n"]) for row in rows.values()), default=0)
        self.single = [name for name, model in self.models.items() if len(model.modalities) == 1]
        self.fused = [name for name, model in self.models.items() if len(model.modalities) > 1]
        self.better = tuple(name for name in self.models if self.auroc[name].ci_low > CHANCE)
        self.main = self.best(name for name in self.fused if name in self.better) or self.best(self.fused)

    def best(self, names: Iterable[str]) -> str:
        """The name with the highest AUROC; empty without any."""
        known = [name for name in names if not math.isnan(self.auroc[name].estimate)]
        return max(known, key=lambda name: self.auroc[name].estimate, default="")

    def difference(self, a: str, b: str) -> Number:
        """AUROC of `a` minus that of `b`, whichever way round the table has it."""
        return self._pairs[a, b] if (a, b) in self._pairs else self._pairs[b, a].turned()

    def beats(self, a: str, b: str) -> bool:
        return self.difference(a, b).ci_low > 0

    def reads(self, name: str, modality: str) -> bool:
        return modality in self.models[name].modalities


def number_of(row: Mapping) -> Number:
    return Number(float(row["estimate"]), float(row["ci_low"]), float(row["ci_high"]))
