"""Gene tokens alone, with a linear shortcut."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from histoweave.fusion.layers import GeneShortcut, GeneTokens, head
from histoweave.fusion.models.base import Network, Output, Shape
from histoweave.fusion.models.ensemble import Ensemble
from histoweave.settings.fusion import Fusion


class Expression(Network):
    """The flattened gene tokens through a linear head, plus a linear path from all genes."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        groups = shape.gene_tokens
        self.tokens = GeneTokens(groups, width=settings.width, dropout=settings.dropout)
        width = self.tokens.n_tokens * settings.width
        self.head = head(width, n_classes=shape.n_classes, dropout=settings.dropout)
        self.shortcut = GeneShortcut(len(groups), n_classes=shape.n_classes, dropout=settings.dropout)

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> tuple[()]:
        """Nothing of the image."""
        return ()

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        return Output(self.head(self.tokens(genes).flatten(1)) + self.shortcut(genes))


def build(shape: Shape, settings: Fusion) -> Ensemble:
    """Several networks and their mean."""
    return Ensemble(Expression, shape, settings)
