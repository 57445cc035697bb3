"""Attention-based multiple-instance learning on tiles alone."""

from __future__ import annotations

from torch import Tensor, nn

from histoweave.fusion.layers import GatedAttentionPool, TileTokens, head
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.models.ensemble import Ensemble
from histoweave.settings.fusion import Fusion


class Image(nn.Module):
    """Tile tokens, gated attention pooling, a linear head."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        self.tokens = TileTokens(shape.tile_width, width=settings.width, dropout=settings.dropout)
        self.pool = GatedAttentionPool(settings.width)
        self.head = head(settings.width, n_classes=shape.n_classes, dropout=settings.dropout)

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        pooled, attention = self.pool(self.tokens(tiles, tile_mask), tile_mask)
        return Output(self.head(pooled), attention)


def build(shape: Shape, settings: Fusion) -> Ensemble:
    """Several networks and their mean."""
    return Ensemble(Image, shape, settings)
