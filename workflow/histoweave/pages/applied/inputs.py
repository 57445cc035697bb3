"""What the page of an external cohort is made of: the tables that applying a bundle wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from histoweave.apply.statuses import GIVEN
from histoweave.fusion import catalog
from histoweave.fusion.catalog import ModelInfo
from histoweave.privacy.content import pseudonymised
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.storage.files import read_json, read_table


@dataclass(frozen=True, kw_only=True)
class AppliedInputs:
    """Paths and plain values; content of the files as in docs/artefacts.md.

    Attributes
    ----------
    cohort, trained_on : names of the external cohort and of the one that the bundle was made of.
    level : nominal coverage of the conformal sets.
    config, input_sha256, code : the configuration; SHA-256 per input file; code fingerprint per stage.
    pseudonyms : replace every id in the tables; None: ids are shown.
    """

    cohort: str
    trained_on: str
    level: float
    predictions: Path
    compatibility: Path
    drift: Path
    metrics: Path
    coverage: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    input_sha256: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    pseudonyms: Pseudonyms | None = None


@dataclass(frozen=True, kw_only=True)
class AppliedTables:
    """The tables behind the page. Without labels `metrics` and `coverage` have no rows."""

    models: tuple[ModelInfo, ...]
    classes: tuple[str, ...]
    predictions: pd.DataFrame
    metrics: pd.DataFrame
    coverage: pd.DataFrame
    drift: pd.DataFrame
    compatibility: dict[str, Any]

    @property
    def titles(self) -> dict[str, str]:
        """Title of each model in plain words, in order of display."""
        return {model.name: model.title for model in self.models}

    @property
    def main(self) -> str:
        """The model that the page leads with: the last that reads both modalities, else the last of all.

        Of those that gave a prediction, if any did. Chosen by its place, never by its result.
        """
        given = set(self.predictions.loc[self.predictions["status"].isin(GIVEN), "model"])
        readers = [model for model in self.models if model.modalities]
        models = [model for model in readers if model.name in given] or readers or list(self.models)
        fused = [model.name for model in models if len(model.modalities) > 1]
        return (fused or [model.name for model in models])[-1]

    @property
    def labelled(self) -> bool:
        """Whether anything could be scored."""
        return len(self.metrics) > 0

    @property
    def has_labels(self) -> bool:
        """Whether any patient has a label that the models know."""
        return bool(self.predictions["y_true"].isin(self.classes).any())


def read_applied(inputs: AppliedInputs) -> AppliedTables:
    """Read every table that `inputs` names, with pseudonyms in place of ids where `inputs` has them."""
    predictions = read_table(inputs.predictions)
    tables = AppliedTables(
        models=tuple(catalog.get(name) for name in predictions["model"].unique()),
        classes=tuple(column.removeprefix("p_") for column in predictions if column.startswith("p_")),
        predictions=predictions,
        metrics=read_table(inputs.metrics),
        coverage=read_table(inputs.coverage),
        drift=read_table(inputs.drift),
        compatibility=read_json(inputs.compatibility),
    )
    return tables if inputs.pseudonyms is None else pseudonymised(tables, inputs.pseudonyms)
