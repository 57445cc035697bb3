"""The models, one file each; `build` makes one of the catalog by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from histoweave.fusion.models.base import Shape
from histoweave.fusion.models.centroid import Centroid
from histoweave.fusion.models.concat import Concat
from histoweave.fusion.models.cross_attention import CrossAttentionFusion
from histoweave.fusion.models.ensemble import Ensemble
from histoweave.fusion.models.expression import Expression
from histoweave.fusion.models.image import Image
from histoweave.fusion.models.joint import Joint
from histoweave.fusion.models.products import Products
from histoweave.fusion.models.references import LateMean, LinearExpression, LinearImage
from histoweave.fusion.models.top_pairs import TopPairs
from histoweave.settings.fusion import Fusion

_BUILDERS: dict[str, Callable[[Shape, Fusion], nn.Module]] = {
    "majority": LinearExpression,
    "best_gene": LinearExpression,
    "top_pairs": TopPairs,
    "centroid": Centroid,
    "logistic_expression": LinearExpression,
    "logistic_image": LinearImage,
    "logistic_both": Products,
    "image": partial(Ensemble, Image),
    "expression": partial(Ensemble, Expression),
    "concat": partial(Joint, Concat),
    "late_mean": LateMean,
    "cross_attention": partial(Joint, CrossAttentionFusion),
}


def build(name: str, shape: Shape, settings: Fusion) -> Any:
    """A model at random initialisation (torch's global generator).

    Its `forward(tiles, tile_mask, genes, has_image, has_expression)` takes the fields of a
    `histoweave.fusion.models.base.Batch` and returns an `Output`.
    """
    return _BUILDERS[name](shape, settings)
