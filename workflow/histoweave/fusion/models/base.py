"""What all models share: their input sizes, their one signature and their output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from histoweave.fusion.transforms import Transforms


class Batch(NamedTuple):
    """Patients as a model takes them.

    Attributes
    ----------
    tiles : (B,N,k) float32, padded. tile_mask : (B,N) bool, True for a tile; a patient without image has none.
    genes : (B,G) float32, zeros for a patient without expression.
    has_image, has_expression : (B,) bool.
    """

    tiles: Tensor
    tile_mask: Tensor
    genes: Tensor
    has_image: Tensor
    has_expression: Tensor

    def to(self, device: str) -> Batch:
        """The batch on another device."""
        return Batch(*(part.to(device) for part in self))


class Output(NamedTuple):
    """What a model says.

    Attributes
    ----------
    logits : (B,C).
    tile_attention : (B,N), sums to 1 over a patient's tiles; None for models without.
    cross_attention : (B,heads,T,N), gene tokens on tiles; None for models without.
    """

    logits: Tensor
    tile_attention: Tensor | None = None
    cross_attention: Tensor | None = None


class Network(nn.Module):
    """A model in two steps, of which the first knows nothing of the genes: many genes, or many masks, can be tried on one look.

    Subclasses write `see(tiles, tile_mask, has_image)`, which returns nested tuples of tensors, and `answer`.
    """

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        """The output for what `see` returned. One patient's look (batch of 1) goes with many masks or genes (batch of B)."""
        raise NotImplementedError

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> Any:
        """All that follows from the image alone."""
        raise NotImplementedError

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        seen = self.see(tiles, tile_mask, has_image)
        return self.answer(seen, tile_mask, has_image, genes, has_expression)


class OneStep(Network):
    """A module of the common signature as a `Network` that looks at the image anew for each answer."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> Any:
        return tiles

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        n = max(len(tile_mask), len(genes))
        parts = (seen, tile_mask, genes, has_image, has_expression)
        return self.module(*(part.expand(n, *part.shape[1:]) for part in parts))


def two_steps(module: nn.Module) -> Network:
    """The module itself if it has two steps, otherwise as `OneStep`."""
    return module if isinstance(module, Network) else OneStep(module)


@dataclass(frozen=True)
class Shape:
    """Sizes that a model is built for: k values per tile, the token of each of G genes, C classes."""

    tile_width: int
    gene_tokens: tuple[int, ...]
    n_classes: int

    @classmethod
    def of(cls, transforms: Transforms, *, n_classes: int) -> Shape:
        """Sizes after fitted transforms; a modality without transform has the width of its placeholder, 1."""
        width = 1 if transforms.image is None else transforms.image.width
        tokens = (0,) if transforms.expression is None else tuple(map(int, transforms.expression.tokens))
        return cls(width, tokens, n_classes)
