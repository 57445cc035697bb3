"""Networks of both modalities beside a logistic regression on the products of image and RNA components.

With some dozens of patients a network does not find a label that needs both modalities at once; the products show it at any
start (see `products`). With more patients, or where single tiles count, the networks see more. The validation patients say
how much of the answer is taken from which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from histoweave.fusion.models.base import Network, Output, Shape
from histoweave.fusion.models.ensemble import Ensemble
from histoweave.fusion.models.products import Products
from histoweave.settings.fusion import Fusion


class Joint(Network):
    """(1 - share) · probability of the networks + share · probability from the products, for who has both modalities.

    Who lacks one gets the networks' answer. Attention is the networks'.
    """

    share: Tensor

    def __init__(self, builder: Callable[[Shape, Fusion], nn.Module], shape: Shape, settings: Fusion):
        super().__init__()
        self.networks = Ensemble(builder, shape, settings)
        self.products = Products(shape, settings)
        self.register_buffer("share", torch.zeros(()))

    @property
    def members(self) -> nn.ModuleList:
        """The networks, which are trained one after the other."""
        return self.networks.members

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> tuple[Any, Tensor]:
        """What the networks see, and the tiles (B,N,k), of which the products take the mean."""
        return self.networks.see(tiles, tile_mask, has_image), tiles

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        networks, tiles = seen
        output = self.networks.answer(networks, tile_mask, has_image, genes, has_expression)
        products = self.products(tiles, tile_mask, genes, has_image, has_expression).logits
        share = torch.where(has_image & has_expression, self.share, torch.zeros_like(self.share)).unsqueeze(1)
        return output._replace(logits=mixed(output.logits, products, share))


def mixed(logits: Tensor, others: Tensor, share: Tensor) -> Tensor:
    """Log of (1 - share) · softmax(logits) + share · softmax(others), (B,C) each; share (B,1)."""
    parts = torch.stack([(1 - share).log() + logits.log_softmax(-1), share.log() + others.log_softmax(-1)])
    return parts.logsumexp(0)
