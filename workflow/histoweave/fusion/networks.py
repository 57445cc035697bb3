"""Fitting the models that are trained in epochs: transforms, several networks, and the share of the products."""

from __future__ import annotations

import pandas as pd

from histoweave.fusion.bags import BagStore
from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.fusion.models.joint import Joint
from histoweave.fusion.patients import Batcher
from histoweave.fusion.share import fit_share
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.train import train
from histoweave.fusion.transforms import Transforms, fit_expression, fit_image


def fit_networks(task: Task) -> Fit:
    """Transforms of the training patients; each network trained on them and stopped by the validation patients."""
    transforms = _fit_transforms(task)
    module = task.build(transforms).to(task.device)
    data, val = Batcher(task.train, transforms), Batcher(task.val, transforms)
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
    return Fit(transforms, module, history=pd.concat(histories, ignore_index=True), record=record)


def _fit_transforms(task: Task) -> Transforms:
    """Of the modalities that the model reads, as far as training patients have them."""
    patients, image, expression = task.train, None, None
    if IMAGE in task.info.modalities and (ids := patients.having(IMAGE)):
        image = fit_image(BagStore(patients.slides), ids, components=task.components, seed=task.seed)
    if EXPRESSION in task.info.modalities and (ids := patients.having(EXPRESSION)):
        rows = task.expression.loc[ids]
        expression = fit_expression(rows, settings=task.settings, tokens=True, seed=task.seed)
    return Transforms(image, expression)
