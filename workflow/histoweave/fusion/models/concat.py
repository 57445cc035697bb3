"""Concatenation: the pooled image and the gene tokens side by side, through one head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from histoweave.fusion.layers import GatedAttentionPool, GeneShortcut, GeneTokens, TileTokens
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.models.joint import Joint
from histoweave.settings.fusion import Fusion


class Concat(nn.Module):
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

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        image, attention = self.tile_pool(self.tile_tokens(tiles, tile_mask), tile_mask)
        tokens = self.gene_tokens(genes)
        rna, _ = self.gene_pool(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))
        return Output(self.head(torch.cat([image, rna], dim=-1)) + self.shortcut(genes), attention)


def build(shape: Shape, settings: Fusion) -> Joint:
    """Several networks and their mean, beside the products of both modalities."""
    return Joint(Concat, shape, settings)
