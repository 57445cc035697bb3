"""The mean of the probabilities of the fitted models `image` and `expression`: fusion without any training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.fusion.layers import mask_or_first
from histoweave.fusion.models.base import Network, Output, Shape
from histoweave.fusion.models.ensemble import Ensemble
from histoweave.fusion.models.expression import Expression
from histoweave.fusion.models.image import Image
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms
from histoweave.settings.fusion import Fusion


class LateMean(Network):
    """Mean of the probabilities of the image and the expression model; the one alone where the other is missing."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        self.image = Ensemble(Image, shape, settings)
        self.expression = Ensemble(Expression, shape, settings)

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> tuple[Any, Any]:
        """What the networks of the image and those of the genes see."""
        mask = mask_or_first(tile_mask, has_image)
        return self.image.see(tiles, mask, has_image), self.expression.see(tiles, mask, has_image)

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        # A patient without image has no tile to pool; its dummy tile gets weight 0 below.
        rest = (mask_or_first(tile_mask, has_image), has_image, genes, has_expression)
        outputs = [model.answer(part, *rest) for model, part in zip((self.image, self.expression), seen, strict=True)]
        probabilities = torch.stack(torch.broadcast_tensors(*(output.logits.softmax(-1) for output in outputs)))
        weights = torch.stack(torch.broadcast_tensors(has_image, has_expression)).to(probabilities.dtype).unsqueeze(-1)
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
