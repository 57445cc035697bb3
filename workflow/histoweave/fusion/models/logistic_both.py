"""Logistic regression on components of image and RNA and their products; see `products`."""

from __future__ import annotations

import copy

from histoweave.fusion.models.products import Products, fit_products
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms, fit_components

build = Products


def fit(task: Task) -> Fit:
    """The penalty is chosen by validation patients; see `fit_logistic`."""
    image = fit_components(task.train.mean_tiles(task.train.ids), components=task.components, seed=task.seed)
    transforms = Transforms(image, task.fit_expression())
    module = task.build(transforms)
    before_refit = copy.deepcopy(module)
    train, val = task.pooled(transforms)
    fit_products(module, before_refit, train=train, val=val)
    return Fit(transforms, module, before_refit=before_refit)
