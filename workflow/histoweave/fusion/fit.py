"""Fitting one model on one fold's training and validation patients: nothing else reaches this module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.bags import BagStore
from histoweave.fusion.capacity import resolved
from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.fusion.fitted import FittedModel, load_fold
from histoweave.fusion.models import build
from histoweave.fusion.models.base import Shape
from histoweave.fusion.models.joint import Joint
from histoweave.fusion.patients import Batcher, PatientSet
from histoweave.fusion.reference_fit import fit_reference
from histoweave.fusion.share import fit_share
from histoweave.fusion.train import HISTORY, train
from histoweave.fusion.transforms import Transforms, fit_expression, fit_image
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
        if training or validation patients are missing, or have one class only.
    """
    info = catalog.get(model)
    _check(info, train_patients, val_patients)
    settings = resolved(settings, info, n_train=len(train_patients.ids))
    history = pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in HISTORY.items()})
    with deterministic(seed, device=device):
        if info.needs:
            return _combine(info, classes=classes, settings=settings, device=device, needs=needs), history
        before_refit = None
        if not info.neural:
            transforms, module, before_refit = fit_reference(
                info, train_patients, val_patients, classes=classes, settings=settings, seed=seed
            )
        else:
            transforms = _fit_transforms(info, train_patients, settings=settings, seed=seed)
            module = build(model, Shape.of(transforms, n_classes=len(classes)), settings).to(device)
            data, val = Batcher(train_patients, transforms), Batcher(val_patients, transforms)
            histories = [
                train(
                    network,
                    train=data,
                    val=val,
                    n_classes=len(classes),
                    settings=settings,
                    seed=seed,
                    device=device,
                    member=member,
                )
                for member, network in enumerate(module.members)
            ]
            history = pd.concat(histories, ignore_index=True)
            if isinstance(module, Joint):
                fit_share(module, train=data, val=val, device=device)
    return FittedModel(info, tuple(classes), settings, transforms, module, device, before_refit), history


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


def _fit_transforms(info: catalog.ModelInfo, patients: PatientSet, *, settings: Fusion, seed: int) -> Transforms:
    image = expression = None
    if IMAGE in info.modalities and (ids := patients.having(IMAGE)):
        assert not isinstance(settings.image_components, str)  # resolved
        image = fit_image(BagStore(patients.slides), ids, components=settings.image_components, seed=seed)
    if EXPRESSION in info.modalities and (ids := patients.having(EXPRESSION)):
        assert patients.expression is not None
        expression = fit_expression(patients.expression.loc[ids], settings=settings, tokens=True, seed=seed)
    return Transforms(image, expression)


def _combine(
    info: catalog.ModelInfo, *, classes: list[str], settings: Fusion, device: str, needs: dict[str, Path]
) -> FittedModel:
    """Copy the fitted models that this one is made of, weights and transforms, so that one folder holds all."""
    if missing := [name for name in info.needs if name not in needs]:
        raise InputError(f"fusion.models: '{info.name}' needs '{missing[0]}' of the same fold; add it to fusion.models")
    parts = {name: load_fold(needs[name], device=device) for name in info.needs}
    transforms = Transforms(parts[IMAGE].transforms.image, parts[EXPRESSION].transforms.expression)
    rna = parts[EXPRESSION].settings
    sizes = {"n_genes": rna.n_genes, "gene_tokens": rna.gene_tokens}
    settings = settings.model_copy(update=sizes | {"image_components": parts[IMAGE].settings.image_components})
    module = build(info.name, Shape.of(transforms, n_classes=len(classes)), settings)
    for name, part in parts.items():
        getattr(module, name).load_state_dict(part.module.state_dict())
    return FittedModel(info, tuple(classes), settings, transforms, module, device)
