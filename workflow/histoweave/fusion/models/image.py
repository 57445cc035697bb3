"""Attention-based multiple-instance learning on tiles alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from histoweave.fusion.layers import GatedAttentionPool, TileTokens, head
from histoweave.fusion.models.base import Network, Output, Shape
from histoweave.fusion.models.ensemble import Ensemble
from histoweave.settings.fusion import Fusion


class Image(Network):
    """Tile tokens, gated attention pooling, a linear head."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        self.tokens = TileTokens(shape.tile_width, width=settings.width, dropout=settings.dropout)
        self.pool = GatedAttentionPool(settings.width)
        self.head = head(settings.width, n_classes=shape.n_classes, dropout=settings.dropout)

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B,N,width) and their scores (B,N)."""
        tokens = self.tokens(tiles, tile_mask)
        return tokens, self.pool.scores(tokens)

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        tokens, scores = seen
        pooled, attention = self.pool(tokens, tile_mask, scores)
        return Output(self.head(pooled), attention)


def build(shape: Shape, settings: Fusion) -> Ensemble:
    """Several networks and their mean."""
    return Ensemble(Image, shape, settings)
