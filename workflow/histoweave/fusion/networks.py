"""Fitting the models that are trained in epochs: transforms, several networks, and the share of the products."""

from __future__ import annotations

import pandas as pd

from histoweave.fusion.batcher import Batcher
from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.fusion.models.joint import Joint
from histoweave.fusion.share import fit_share
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.train import train
from histoweave.fusion.transforms import ImageTransform, Transforms, fit_expression


def fit_networks(task: Task) -> Fit:
    """Transforms of the training patients; each network trained on them and stopped by the validation patients.

    Raises
    ------
    ValueError
        if the model reads the image and the patients come without the projected tiles of their fold.
    """
    transforms = _fit_transforms(task)
    module = task.build(transforms).to(task.device)
    data, val = (Batcher(patients, transforms, device=task.device) for patients in (task.train, task.val))
    histories = [
        train(
            network,
            train=data,
            val=val,
            n_classes=len(task.classes),
            settings=task.settings,
            seed=task.seed,
            device=task.device,
            member=member,
        )
        for member, network in enumerate(module.members)
    ]
    record = {}
    if isinstance(module, Joint):
        fit_share(module, train=data, val=val, device=task.device)
        record["products_share"] = round(module.share.item(), 2)
    settings = task.settings
    if transforms.image is not None:
        loadings = transforms.image.loadings
        components = None if loadings is None else loadings.shape[1]
        settings = settings.model_copy(update={"image_components": components})
    history = pd.concat(histories, ignore_index=True)
    return Fit(transforms, module, history=history, settings=settings, record=record)


def _fit_transforms(task: Task) -> Transforms:
    """Of the modalities that the model reads, as far as training patients have them. That of the tiles is the fold's."""
    patients, image, expression = task.train, None, None
    if IMAGE in task.info.modalities and patients.having(IMAGE):
        image = _of_fold(task)
    if EXPRESSION in task.info.modalities and (ids := patients.having(EXPRESSION)):
        rows = task.expression.loc[ids]
        expression = fit_expression(rows, settings=task.settings, tokens=True, seed=task.seed)
    return Transforms(image, expression)


def _of_fold(task: Task) -> ImageTransform:
    """The transform that made the projected tiles of the fold."""
    if task.train.tiles is None or task.train.tiles.transform is None:
        raise ValueError(f"model '{task.info.name}' needs the projected tiles of the fold (fusion.projection)")
    return task.train.tiles.transform
