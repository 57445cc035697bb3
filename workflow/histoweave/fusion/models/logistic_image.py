"""Logistic regression on the mean of a patient's tiles."""

from __future__ import annotations

import copy

from torch import Tensor

from histoweave.fusion.layers import masked_mean
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.models.linear import Linear, fit_logistic
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms, fit_components
from histoweave.settings.fusion import Fusion


class LinearImage(Linear):
    """Logits linear in the mean of a patient's tiles, each tile with the same weight."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__(shape.tile_width, shape.n_classes)

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        return Output(masked_mean(tiles, tile_mask) @ self.weight.T + self.bias)


build = LinearImage


def fit(task: Task) -> Fit:
    """The penalty is chosen by validation patients; see `fit_logistic`."""
    train_means, val_means = (part.mean_tiles(part.ids) for part in (task.train, task.val))
    image = fit_components(train_means, components=task.components, seed=task.seed)
    transforms = Transforms(image, None)
    module = task.build(transforms)
    before_refit = copy.deepcopy(module)
    train, val = (image(train_means), task.train.codes), (image(val_means), task.val.codes)
    fit_logistic(module, before_refit, train=train, val=val)
    return Fit(transforms, module, before_refit=before_refit)
