"""What fitting a model is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from histoweave.fusion.batcher import Batcher
from histoweave.fusion.catalog import ModelInfo
from histoweave.fusion.models import build
from histoweave.fusion.models.base import Shape
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.transforms import ExpressionTransform, Transforms, fit_expression
from histoweave.settings.fusion import Fusion


@dataclass(frozen=True)
class Task:
    """One model on one fold: its training and validation patients, and no others.

    Attributes
    ----------
    info : the model's entry of the catalog.
    train, val : patients that the model can handle.
    classes : names, the positive class last.
    settings : with numbers in place of `auto`.
    parts : the fitted models (`histoweave.fusion.fitted.FittedModel`) of the same fold that `info.needs` names.
    """

    info: ModelInfo
    train: PatientSet
    val: PatientSet
    classes: list[str]
    settings: Fusion
    seed: int
    device: str
    parts: Mapping[str, Any] = field(default_factory=dict)

    def fit_expression(self, *, wanted: Collection[str] | None = None) -> ExpressionTransform:
        """The transform of the genes, fitted on the training patients, in the form that the catalog states.

        Arguments and errors as of `histoweave.fusion.transforms.fit_expression`.
        """
        return fit_expression(
            self.expression,
            settings=self.settings,
            tokens=self.info.neural,
            seed=self.seed,
            form=self.info.genes,
            wanted=wanted,
        )

    @property
    def expression(self) -> pd.DataFrame:
        """Log2 values of the training patients who have RNA, for a model that reads it."""
        assert self.train.expression is not None
        return self.train.expression

    @property
    def components(self) -> int | None:
        """Principal components of the tile features; None for none."""
        assert not isinstance(self.settings.image_components, str)  # no longer `auto`
        return self.settings.image_components

    def build(self, transforms: Transforms, settings: Fusion | None = None) -> Any:
        """The model at random initialisation, for what the transforms give; with other settings if they are given."""
        return build(self.info.name, Shape.of(transforms, n_classes=len(self.classes)), settings or self.settings)

    def genes(self, transforms: Transforms) -> list[tuple[np.ndarray, np.ndarray]]:
        """Genes (n,G) float32 and label codes (n,) of the training and of the validation patients."""
        return [(Batcher(patients, transforms).genes(), patients.codes) for patients in (self.train, self.val)]

    def pooled(self, transforms: Transforms) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Mean tiles (n,k) float32, genes and label codes of the training and of the validation patients."""
        return [Batcher(patients, transforms).pooled(patients.ids) for patients in (self.train, self.val)]


@dataclass(frozen=True)
class Fit:
    """What was fitted.

    Attributes
    ----------
    before_refit : of a model that is fitted to training and validation patients together in the end (`info.refitted`), the
        one before that; None of others.
    history : a row for each epoch (`histoweave.fusion.train.HISTORY`); None of a model that is not trained in epochs.
    settings : where they are not those of the task.
    record : what `config.json` says of this fit besides.
    """

    transforms: Transforms
    module: nn.Module
    before_refit: nn.Module | None = None
    history: pd.DataFrame | None = None
    settings: Fusion | None = None
    record: dict[str, Any] = field(default_factory=dict)
