"""Models refitted on shuffled labels: every fold of one shuffle in one process, test patients only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from histoweave.fusion import catalog
from histoweave.fusion.catalog import MODALITIES
from histoweave.fusion.folds import fold_roles
from histoweave.fusion.fusion_fold import fold_patients, tested
from histoweave.fusion.seeds import fold_seed
from histoweave.settings.fusion import Fusion

_KEYS = ["patient", "repeat", "fold", "role", "y_true", *(f"has_{modality}" for modality in MODALITIES)]


def refit(
    model: str,
    *,
    patients: pd.DataFrame,
    folds: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    classes: list[str],
    settings: Fusion,
    seed: int,
    device: str,
    summary: Path | None = None,
    projected: Sequence[Path] | None = None,
) -> pd.DataFrame:
    """Fit a model on every fold and predict the fold's test patients.

    Parameters
    ----------
    model : one that needs no other model.
    patients, folds, slides, expression : as `fusion_fold.run_fold` takes them, with shuffled labels and their folds.
    summary, projected : as of `fusion_fold.fold_patients`, the second a file for each fold.

    Returns
    -------
    `patient`, `repeat`, `fold`, `role` (test), `y_true`, `has_<modality>`, `p_<class>`: a row per repeat and test patient
    that the model can handle.

    Raises
    ------
    InputError
        for patients that the model cannot be fitted on.
    """
    info = catalog.get(model)
    tables = []
    for k in range(len(folds[["repeat", "fold"]].drop_duplicates())):
        repeat, fold, roles = fold_roles(folds, k)
        able = fold_patients(
            roles,
            info,
            patients=patients,
            slides=slides,
            expression=expression,
            classes=classes,
            summary=summary,
            projected=None if projected is None else projected[k],
        )
        own_seed = fold_seed(seed, model, k)
        table = tested(model, able, classes=classes, settings=settings, seed=own_seed, device=device)
        tables.append(table.assign(repeat=repeat, fold=fold, role="test"))
    return pd.concat(tables, ignore_index=True)[[*_KEYS, *(f"p_{label}" for label in classes)]]


def refit_shuffles(
    model: str, *, patients: pd.DataFrame, labels: pd.DataFrame, folds: pd.DataFrame, **how: Any
) -> pd.DataFrame:
    """`refit` on every shuffle of `labels` (`shuffle`, `patient`, `label`) with its folds; `shuffle` is the first column.

    how : the other arguments of `refit`.
    """
    tables = []
    for shuffle, shuffled in labels.groupby("shuffle"):
        own = folds[folds["shuffle"] == shuffle].drop(columns="shuffle")
        table = refit(model, patients=relabelled(patients, shuffled), folds=own, **how)
        table.insert(0, "shuffle", shuffle)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def relabelled(patients: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The patients with the labels of one shuffle (`patient`, `label`); those that were not shuffled keep theirs."""
    shuffled = patients["patient"].map(labels.set_index("patient")["label"])
    return patients.assign(label=shuffled.where(shuffled.notna(), patients["label"]))
