"""Several networks of one design from different random starts; their mean is the model.

A single network fitted on a few dozen patients depends much on its start. The mean of several depends less, in its calls
and in its attention (Lakshminarayanan et al., "Deep ensembles", NeurIPS 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from histoweave.fusion.models.base import Network, Output, Shape, two_steps
from histoweave.settings.fusion import Fusion


class Ensemble(Network):
    """`settings.members` networks made by `builder`; probabilities and attention are averaged."""

    def __init__(self, builder: Callable[[Shape, Fusion], nn.Module], shape: Shape, settings: Fusion):
        super().__init__()
        self.members = nn.ModuleList(builder(shape, settings) for _ in range(settings.members))

    def see(self, tiles: Tensor, tile_mask: Tensor, has_image: Tensor) -> list[Any]:
        """What each network sees."""
        return [two_steps(member).see(tiles, tile_mask, has_image) for member in self.members]

    def answer(self, seen: Any, tile_mask: Tensor, has_image: Tensor, genes: Tensor, has_expression: Tensor) -> Output:
        rest = (tile_mask, has_image, genes, has_expression)
        outputs = [two_steps(member).answer(part, *rest) for member, part in zip(self.members, seen, strict=True)]
        log_probabilities = torch.stack([output.logits.log_softmax(-1) for output in outputs])
        mean = log_probabilities.logsumexp(0) - torch.tensor(float(len(outputs))).log()
        return Output(mean, *(_mean([output[i] for output in outputs]) for i in (1, 2)))


def _mean(attentions: list[Tensor | None]) -> Tensor | None:
    given = [attention for attention in attentions if attention is not None]
    return torch.stack(given).mean(0) if given else None
