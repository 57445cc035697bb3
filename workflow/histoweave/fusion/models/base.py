"""What all models share: their input sizes, their one signature and their output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

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
