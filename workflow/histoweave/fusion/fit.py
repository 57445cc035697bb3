"""Fitting one model on one fold's training and validation patients: nothing else reaches this module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.capacity import resolved
from histoweave.fusion.fitted import FittedModel, load_fold
from histoweave.fusion.models import needed
from histoweave.fusion.networks import fit_networks
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.task import Task
from histoweave.fusion.train import HISTORY
from histoweave.mechanics.repeatable import deterministic
from histoweave.settings.fusion import Fusion


def fit(
    model: str,
    *,
    train_patients: PatientSet,
    val_patients: PatientSet,
    classes: list[str],
    settings: Fusion,
    seed: int,
    device: str,
    needs: dict[str, Path],
) -> tuple[FittedModel, pd.DataFrame]:
    """Fit transforms (training patients) and weights (training patients; stopped or tuned by validation patients).

    Parameters
    ----------
    train_patients, val_patients : patients that the model can handle.
    needs : folder of each fitted model of the same fold that this one is made of.

    Returns
    -------
    The fitted model and its history (empty if it is not trained in epochs).

    Raises
    ------
    InputError
        if training or validation patients are missing, or have one class only, or a model that this one needs is missing.
    ValueError
        if nothing says how a model of this kind is fitted.
    """
    info = catalog.get(model)
    _check(info, train_patients, val_patients)
    recipe = fit_networks if info.neural else needed(model, "fit")
    settings = resolved(settings, info, n_train=len(train_patients.ids))
    with deterministic(seed, device=device):
        parts = _parts(info, needs, device=device)
        task = Task(info, train_patients, val_patients, classes, settings, seed, device, parts)
        found = recipe(task)
    if (found.before_refit is not None) != info.refitted:
        raise ValueError(f"model '{model}': the catalog says refitted={info.refitted}, and its fit does otherwise")
    history = found.history
    if history is None:
        history = pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in HISTORY.items()})
    own = (found.settings or settings, found.transforms, found.module, device, found.before_refit, found.record)
    return FittedModel(info, tuple(classes), *own), history


def _check(info: catalog.ModelInfo, train_patients: PatientSet, val_patients: PatientSet) -> None:
    for role, patients in (("training", train_patients), ("validation", val_patients)):
        if not patients.ids:
            needed = " and ".join(sorted(info.modalities)) or "a label"
            raise InputError(
                f"fusion.models: '{info.name}' finds no {role} patient with {needed} in a fold; "
                "drop the model or use fewer folds"
            )
    if info.modalities and len(np.unique(train_patients.codes)) < 2:
        raise InputError(
            f"fusion.models: the training patients of '{info.name}' in a fold have one class only; "
            "drop the model or use fewer folds"
        )


def _parts(info: catalog.ModelInfo, needs: dict[str, Path], *, device: str) -> dict[str, FittedModel]:
    """The fitted models of the same fold that a model is made of."""
    if missing := [name for name in info.needs if name not in needs]:
        raise InputError(f"fusion.models: '{info.name}' needs '{missing[0]}' of the same fold; add it to fusion.models")
    return {name: load_fold(needs[name], device=device) for name in info.needs}
