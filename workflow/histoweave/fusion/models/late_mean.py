"""The mean of the probabilities of the fitted models `image` and `expression`: fusion without any training."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.models.ensemble import Ensemble
from histoweave.fusion.models.expression import Expression
from histoweave.fusion.models.image import Image
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms
from histoweave.settings.fusion import Fusion


class LateMean(nn.Module):
    """Mean of the probabilities of the image and the expression model; the one alone where the other is missing."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        self.image = Ensemble(Image, shape, settings)
        self.expression = Ensemble(Expression, shape, settings)

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        # A patient without image has no tile to pool; its dummy tile gets weight 0 below.
        first = torch.arange(tiles.shape[1], device=tiles.device) == 0
        tile_mask = torch.where(has_image[:, None], tile_mask, first)
        arguments = (tiles, tile_mask, genes, has_image, has_expression)
        probabilities = torch.stack([model(*arguments).logits.softmax(-1) for model in (self.image, self.expression)])
        weights = torch.stack([has_image, has_expression]).to(probabilities.dtype).unsqueeze(-1)
        return Output(((weights * probabilities).sum(0) / weights.sum(0)).log())


build = LateMean


def fit(task: Task) -> Fit:
    """Copy the two models of the same fold, weights and transforms, so that one folder holds all. Nothing is fitted."""
    image, expression = task.parts[IMAGE], task.parts[EXPRESSION]
    transforms = Transforms(image.transforms.image, expression.transforms.expression)
    sizes = {key: getattr(expression.settings, key) for key in ("n_genes", "gene_tokens")}
    settings = task.settings.model_copy(update=sizes | {"image_components": image.settings.image_components})
    module = task.build(transforms, settings)
    for name, part in task.parts.items():
        getattr(module, name).load_state_dict(part.module.state_dict())
    return Fit(transforms, module, settings=settings)


def combine(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The same from predictions: the mean of the probabilities of both models, the one alone where the other modality is
    missing.

    parts : predictions (`shuffle`, `patient`, `repeat`, `fold` and what else is known of a patient, `p_<class>`) of the
        models `image` and `expression` on the same shuffle of the labels.
    """
    rows = pd.concat(parts.values(), ignore_index=True)
    keys = [column for column in rows if not column.startswith("p_")]
    mean = rows.groupby(keys)[[column for column in rows if column not in keys]].mean().reset_index()
    return mean.sort_values(["shuffle", "repeat", "fold", "patient"], ignore_index=True)
