"""Concatenation: the pooled image and the gene tokens side by side, through one head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from histoweave.fusion.layers import GatedAttentionPool, GeneShortcut, GeneTokens, TileTokens
from histoweave.fusion.models.base import Network, Output, Shape
from histoweave.fusion.models.joint import Joint
from histoweave.settings.fusion import Fusion


class Concat(Network):
    """Both modalities are pooled without seeing each other; a small perceptron joins them."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        groups, width = shape.gene_tokens, settings.width
        self.tile_tokens = TileTokens(shape.tile_width, width=width, dropout=settings.dropout)
        self.gene_tokens = GeneTokens(groups, width=width, dropout=settings.dropout)
        self.tile_pool = GatedAttentionPool(width)
        self.gene_pool = GatedAttentionPool(width)
        self.head = nn.Sequential(
            nn.LayerNorm(2 * width),
            nn.Dropout(settings.dropout),
            nn.Linear(2 * width, width),
            nn.GELU(),
            nn.Linear(width, shape.n_classes),
        )
        self.shortcut = GeneShortcut(len(groups), n_classes=shape.n_classes, dropout=settings.dropout)

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> tuple[Tensor, Tensor]:
        """Tile tokens (B,N,width) and their scores (B,N)."""
        tokens = self.tile_tokens(tiles, tile_mask)
        return tokens, self.tile_pool.scores(tokens)

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        tile_tokens, scores = seen
        image, attention = self.tile_pool(tile_tokens, tile_mask, scores)
        tokens = self.gene_tokens(genes)
        rna, _ = self.gene_pool(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))
        n = max(len(image), len(rna))
        both = torch.cat([image.expand(n, -1), rna.expand(n, -1)], dim=-1)
        return Output(self.head(both) + self.shortcut(genes), attention)


def build(shape: Shape, settings: Fusion) -> Joint:
    """Several networks and their mean, beside the products of both modalities."""
    return Joint(Concat, shape, settings)
