"""A finished run of a training cohort, as a bundle takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from histoweave.storage.files import read_json, read_table


@dataclass(frozen=True)
class Training:
    """What a bundle is made of: a finished run of one training cohort.

    Attributes
    ----------
    cohort, classes, positive : as in the configuration; `positive` None for more than two classes.
    models : in order. n_folds, repeats : of the folds. tiles : the section `tiles` of the configuration.
    fold_folder : the folder of a model and k, with its three files.
    patients, slides, metrics : `cohort/patients.parquet`, `cohort/slides.parquet`, `metrics.parquet`.
    expression, samples, unit : of the expression stage, None without RNA.
    how_folded : `folds.json`.
    dictionary : folder of a dictionary of tile features, None without one.
    temperatures, scores : `decide/temperatures.parquet` and `decide/conformal_scores.parquet`, None without them.
    """

    cohort: str
    classes: Sequence[str]
    positive: str | None
    models: Sequence[str]
    n_folds: int
    repeats: int
    tiles: Mapping[str, Any]
    root: Path
    patients: pd.DataFrame
    slides: pd.DataFrame
    metrics: pd.DataFrame
    how_folded: Mapping[str, Any]
    expression: pd.DataFrame | None = None
    samples: pd.DataFrame | None = None
    unit: str | None = None
    dictionary: Path | None = None
    temperatures: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None

    def fold_folder(self, model: str, k: int) -> Path:
        """The folder of a fitted model."""
        return self.root / model / f"fold{k}"

    @property
    def folds(self) -> range:
        """k = repeat × n_folds + fold of every fold."""
        return range(self.n_folds * self.repeats)


def read_training(root: Path, *, optional: Mapping[str, Path], **given: Any) -> Training:
    """A training run from its files.

    Parameters
    ----------
    root : results folder of the cohort.
    optional : files by the names `expression`, `samples`, `temperatures`, `scores`, as far as they are there.
    given : the other attributes of `Training`.
    """
    tables = {name: read_table(file) for name, file in optional.items()}
    return Training(
        root=root / "fusion",
        patients=read_table(root / "cohort" / "patients.parquet"),
        slides=read_table(root / "cohort" / "slides.parquet"),
        metrics=read_table(root / "metrics.parquet"),
        how_folded=read_json(root / "folds.json"),
        **tables,
        **given,
    )
