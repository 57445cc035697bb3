"""Cross-attention in both directions between many tile tokens and many gene tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from histoweave.fusion.layers import (
    CrossAttention,
    GatedAttentionPool,
    GeneShortcut,
    GeneTokens,
    TileTokens,
    head,
    normal,
)
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.models.joint import Joint
from histoweave.settings.fusion import Fusion

MODALITY_DROPOUT = 0.05


class CrossAttentionFusion(nn.Module):
    """Genes look at tiles, tiles look at genes, both keep their residual, both are pooled.

    A patient without a modality gets learned tokens in its place: one tile token, or one token per gene group.
    In training each modality of a complete patient is left out with probability `MODALITY_DROPOUT`, never both,
    so that the absent tokens are learned also where all patients are complete.
    Tiles are weighted by their own tokens, before they have seen the genes: the attention says which tiles matter.
    Memory grows linearly with the number of tiles.
    """

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        groups, width = shape.gene_tokens, settings.width
        self.tile_tokens = TileTokens(shape.tile_width, width=width, dropout=settings.dropout)
        self.gene_tokens = GeneTokens(groups, width=width, dropout=settings.dropout)
        self.absent_image = nn.Parameter(normal(width, scale=0.02))
        self.absent_expression = nn.Parameter(normal(self.gene_tokens.n_tokens, width, scale=0.02))
        self.genes_on_tiles = CrossAttention(width, heads=settings.heads, dropout=settings.dropout)
        self.tiles_on_genes = CrossAttention(width, heads=settings.heads, dropout=settings.dropout)
        self.tile_pool = GatedAttentionPool(width)
        self.gene_pool = GatedAttentionPool(width)
        self.image_head = head(width, n_classes=shape.n_classes, dropout=settings.dropout)
        self.gene_head = head(width, n_classes=shape.n_classes, dropout=settings.dropout)
        self.shortcut = GeneShortcut(len(groups), n_classes=shape.n_classes, dropout=settings.dropout)

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        if self.training:
            has_image, has_expression = self._drop(has_image, has_expression)
        first = torch.arange(tiles.shape[1], device=tiles.device) == 0
        tile_mask = torch.where(has_image[:, None], tile_mask, first)
        tile_tokens = torch.where(has_image[:, None, None], self.tile_tokens(tiles, tile_mask), self.absent_image)
        gene_tokens = torch.where(has_expression[:, None, None], self.gene_tokens(genes), self.absent_expression)
        gene_mask = torch.ones(gene_tokens.shape[:2], dtype=torch.bool, device=tiles.device)
        seen_genes, cross = self.genes_on_tiles(gene_tokens, tile_tokens, tile_mask)
        seen_tiles, _ = self.tiles_on_genes(tile_tokens, gene_tokens, gene_mask)
        image, attention = self.tile_pool(seen_tiles, tile_mask, keys=tile_tokens)
        rna, _ = self.gene_pool(seen_genes, gene_mask)
        shortcut = self.shortcut(genes) * has_expression[:, None]
        return Output(self.image_head(image) + self.gene_head(rna) + shortcut, attention, cross)

    @staticmethod
    def _drop(has_image: Tensor, has_expression: Tensor) -> tuple[Tensor, Tensor]:
        chance = torch.rand(has_image.shape, device=has_image.device)
        complete = has_image & has_expression
        no_image = complete & (chance < MODALITY_DROPOUT)
        no_expression = complete & (chance > 1 - MODALITY_DROPOUT)
        return has_image & ~no_image, has_expression & ~no_expression


def build(shape: Shape, settings: Fusion) -> Joint:
    """Several networks and their mean, beside the products of both modalities."""
    return Joint(CrossAttentionFusion, shape, settings)
