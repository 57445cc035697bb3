"""Cross-attention in both directions between many tile tokens and many gene tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from histoweave.fusion.layers import (
    CrossAttention,
    GatedAttentionPool,
    GeneShortcut,
    GeneTokens,
    TileTokens,
    head,
    mask_or_first,
    normal,
)
from histoweave.fusion.models.base import Network, Output, Shape
from histoweave.fusion.models.joint import Joint
from histoweave.settings.fusion import Fusion

MODALITY_DROPOUT = 0.05


class CrossAttentionFusion(Network):
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
        return super().forward(tiles, tile_mask, genes, has_image, has_expression)

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> tuple[Any, ...]:
        """Tile tokens (B,N,width), their scores (B,N), what they are asked by and ask with; the learned token in place of
        an absent image."""
        mask = mask_or_first(tile_mask, has_image)
        tokens = torch.where(has_image[:, None, None], self.tile_tokens(tiles, mask), self.absent_image)
        asked = self.genes_on_tiles.keys_values(tokens)
        return tokens, self.tile_pool.scores(tokens), asked, self.tiles_on_genes.queries(tokens)

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        tile_tokens, scores, asked, asking = seen
        tile_mask = mask_or_first(tile_mask, has_image)
        gene_tokens = torch.where(has_expression[:, None, None], self.gene_tokens(genes), self.absent_expression)
        gene_mask = torch.ones(gene_tokens.shape[:2], dtype=torch.bool, device=gene_tokens.device)
        queries = self.genes_on_tiles.queries(gene_tokens)
        seen_genes, cross = self.genes_on_tiles.attend(gene_tokens, queries, asked, tile_mask)
        told = self.tiles_on_genes.keys_values(gene_tokens)
        seen_tiles, _ = self.tiles_on_genes.attend(tile_tokens, asking, told, gene_mask)
        image, attention = self.tile_pool(seen_tiles, tile_mask, scores)
        rna, _ = self.gene_pool(seen_genes, gene_mask.expand(len(seen_genes), -1))
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
