"""Fitting the models that are not trained in epochs, on one fold's training and validation patients."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from torch import nn

from histoweave.fusion.bags import BagStore
from histoweave.fusion.catalog import EXPRESSION, IMAGE, ModelInfo
from histoweave.fusion.centroids import check_genes, read_centroids
from histoweave.fusion.models import build
from histoweave.fusion.models.base import Shape
from histoweave.fusion.models.centroid import fit_centroid
from histoweave.fusion.models.products import fit_products
from histoweave.fusion.models.references import fit_best_gene, fit_logistic, fit_majority
from histoweave.fusion.models.top_pairs import fit_top_pairs
from histoweave.fusion.patients import Batcher, PatientSet
from histoweave.fusion.transforms import Transforms, fit_components, fit_expression
from histoweave.settings.fusion import Fusion

Fitted = tuple[Transforms, nn.Module, nn.Module | None]


def fit_reference(
    info: ModelInfo,
    train_patients: PatientSet,
    val_patients: PatientSet,
    *,
    classes: list[str],
    settings: Fusion,
    seed: int,
) -> Fitted:
    """Transforms (training patients), module (chosen by validation patients, where it has anything to choose), and the
    module before it was fitted to the validation patients as well (None where it is not).

    Parameters
    ----------
    train_patients, val_patients : patients that the model can handle.
    settings : with numbers in place of `auto`.

    Raises
    ------
    InputError
        if no gene varies, or the table of `fusion.centroids` cannot be used.
    """
    if info.modalities == {IMAGE, EXPRESSION}:
        return _on_both(info, train_patients, val_patients, classes=classes, settings=settings, seed=seed)
    if IMAGE in info.modalities:
        return _on_images(info, train_patients, val_patients, classes=classes, settings=settings, seed=seed)
    if EXPRESSION in info.modalities:
        return _on_genes(info, train_patients, val_patients, classes=classes, settings=settings, seed=seed)
    transforms = Transforms(None, None)
    module = _built(info, transforms, classes, settings)
    fit_majority(module, train_patients.codes)
    return transforms, module, None


def _on_images(
    info: ModelInfo,
    train_patients: PatientSet,
    val_patients: PatientSet,
    *,
    classes: list[str],
    settings: Fusion,
    seed: int,
) -> Fitted:
    """Logistic regression on mean tile features. Every tile is read once."""
    train_means, val_means = (_mean_tiles(patients) for patients in (train_patients, val_patients))
    assert not isinstance(settings.image_components, str)
    image = fit_components(train_means, components=settings.image_components, seed=seed)
    transforms = Transforms(image, None)
    module = _built(info, transforms, classes, settings)
    before_refit = copy.deepcopy(module)
    train, val = (image(train_means), train_patients.codes), (image(val_means), val_patients.codes)
    fit_logistic(module, before_refit, train=train, val=val)
    return transforms, module, before_refit


def _on_both(
    info: ModelInfo,
    train_patients: PatientSet,
    val_patients: PatientSet,
    *,
    classes: list[str],
    settings: Fusion,
    seed: int,
) -> Fitted:
    """Logistic regression on components of image and RNA and their products. Every tile is read twice."""
    assert not isinstance(settings.image_components, str)
    image = fit_components(_mean_tiles(train_patients), components=settings.image_components, seed=seed)
    expression = fit_expression(train_patients.expression, settings=settings, tokens=False, seed=seed)
    transforms = Transforms(image, expression)
    module = _built(info, transforms, classes, settings)
    before_refit = copy.deepcopy(module)
    train, val = (Batcher(patients, transforms).pooled(patients.ids) for patients in (train_patients, val_patients))
    fit_products(module, before_refit, train=train, val=val)
    return transforms, module, before_refit


def _on_genes(
    info: ModelInfo,
    train_patients: PatientSet,
    val_patients: PatientSet,
    *,
    classes: list[str],
    settings: Fusion,
    seed: int,
) -> Fitted:
    given = None
    if info.name == "centroid" and settings.centroids is not None:
        given = read_centroids(settings.centroids, classes)
        assert train_patients.expression is not None
        check_genes(given, train_patients.expression.columns, path=settings.centroids)
    expression = fit_expression(
        train_patients.expression,
        settings=settings,
        tokens=False,
        seed=seed,
        form=info.genes,
        wanted=None if given is None else given.index,
    )
    transforms = Transforms(None, expression)
    module = _built(info, transforms, classes, settings)
    train, val = (
        (Batcher(patients, transforms).genes(), patients.codes) for patients in (train_patients, val_patients)
    )
    before_refit = None
    if info.name == "best_gene":
        fit_best_gene(module, *train)
    elif info.name == "top_pairs":
        fit_top_pairs(module, train=train, val=val)
    elif info.name == "centroid":
        fit_centroid(module, *train, given=None if given is None else given.loc[expression.kept_genes].to_numpy().T)
    else:
        before_refit = copy.deepcopy(module)
        fit_logistic(module, before_refit, train=train, val=val)
    return transforms, module, before_refit


def _built(info: ModelInfo, transforms: Transforms, classes: list[str], settings: Fusion) -> Any:
    return build(info.name, Shape.of(transforms, n_classes=len(classes)), settings)


def _mean_tiles(patients: PatientSet) -> np.ndarray:
    """Mean tile features of the patients, (n,D) float64."""
    bags = BagStore(patients.slides)
    return np.stack([bags.mean(patient) for patient in patients.ids])
