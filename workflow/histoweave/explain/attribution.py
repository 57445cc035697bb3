"""What each tile and each gene adds to a call: integrated gradients of the log-odds of a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from histoweave.fusion.catalog import EXPRESSION, IMAGE
from histoweave.fusion.fitted import FittedModel
from histoweave.fusion.models.base import Batch

# Tiles that go through the network at once (steps or masks × tiles of the patient); a larger bag goes alone.
TILES_AT_ONCE = 8192
# A bag of more tiles gets fewer points of the quadrature in proportion, so that its time does not grow, down to the least.
TILES_OF_ALL_STEPS, LEAST_STEPS = 4096, 8


@dataclass(frozen=True, eq=False)
class Attribution:
    """One patient's explanation by one model, for each of C classes.

    Attributes
    ----------
    tiles : (N,C) float64, attribution of a tile, summed over its features; NaN for classes that were not asked for, and
        None without an image.
    genes : (G,C) float64, None without expression.
    attention : (N,) float64, None for models without tile attention or without an image.
    cross : (T,N) float64, attention of gene tokens on tiles, mean over heads and members; None for models without it,
        and for patients who lack a modality.
    score, baseline : (C,) float64, log-odds of the patient and of the baseline.
    error : (C,) float64, sum of all attributions − (score − baseline): 0 if the integral were exact (completeness).
    """

    tiles: np.ndarray | None
    genes: np.ndarray | None
    attention: np.ndarray | None
    cross: np.ndarray | None
    score: np.ndarray
    baseline: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """(C,) float64, see above."""
        parts = [part.sum(axis=0) for part in (self.tiles, self.genes) if part is not None]
        return np.sum(parts, axis=0) - (self.score - self.baseline)


def log_odds(logits: Tensor) -> Tensor:
    """log p − log(1 − p) of every class, (B,C), from logits (B,C): stable also where p is nearly 0 or 1."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    others = torch.stack([logits[:, classes != c].logsumexp(-1) for c in classes], dim=-1)
    return logits - others


def read_modalities(fitted: FittedModel, batch: Batch) -> tuple[str, ...]:
    """The modalities that the model reads of a patient, `batch` being that of the patient alone."""
    has = {IMAGE: batch.has_image.item(), EXPRESSION: batch.has_expression.item()}
    return tuple(name for name, there in has.items() if there and name in fitted.info.modalities)


def attribute(fitted: FittedModel, batch: Batch, *, steps: int, only: int | None = None) -> Attribution:
    """Explain one patient.

    Integrated gradients (Sundararajan, Taly and Yan, ICML 2017, equation 1; Captum's implementation, Gauss–Legendre
    quadrature) on tiles and genes jointly, along the straight line from the baseline to the patient. The baseline is
    the zero vector after the transforms: every tile the mean tile of training, every gene at its training mean. What
    is explained is the log-odds of the model as it predicts, of the mean probability of its members.

    Parameters
    ----------
    fitted : with a module in evaluation mode on `fitted.device`.
    batch : of this patient alone, on `fitted.device`.
    steps : points of the quadrature; fewer for a bag of many tiles, see `TILES_OF_ALL_STEPS`. `Attribution.error` says how exact it is.
    only : the one class that is wanted; attributions for the others are NaN then.
    """
    steps = min(steps, max(LEAST_STEPS, steps * TILES_OF_ALL_STEPS // batch.tiles.shape[1]))
    read = read_modalities(fitted, batch)
    inputs = tuple({IMAGE: batch.tiles, EXPRESSION: batch.genes}[name] for name in read)

    def score(*values: Tensor) -> Tensor:
        at = dict(zip(read, values, strict=True))
        return log_odds(fitted.module(*_repeated(batch, len(values[0]), at)).logits)

    with torch.no_grad():
        output = fitted.module(*batch)
        zeros = tuple(torch.zeros_like(value) for value in inputs)
        own, baseline = (_array(part[0]) for part in (log_odds(output.logits), score(*zeros)))
    n_classes = len(fitted.classes)
    sums = {name: np.full((value[0].shape[0], n_classes), np.nan) for name, value in zip(read, inputs, strict=True)}
    for c in range(n_classes) if only is None else [only]:
        if n_classes == 2 and c == 1 and only is None:
            # The log-odds of the one are those of the other with the sign changed.
            parts = [-sums[name][:, 0] for name in read]
        else:
            parts = _gradients(score, inputs, zeros, target=c, steps=steps)
        for name, part in zip(read, parts, strict=True):
            sums[name][:, c] = part
    attention = cross = None
    if output.tile_attention is not None and IMAGE in read:
        attention = _array(output.tile_attention[0])
    if output.cross_attention is not None and len(read) == 2:
        cross = _array(output.cross_attention[0]).mean(axis=0)
    return Attribution(sums.get(IMAGE), sums.get(EXPRESSION), attention, cross, own, baseline)


def _gradients(
    score: Callable[..., Tensor], inputs: tuple[Tensor, ...], zeros: tuple[Tensor, ...], *, target: int, steps: int
) -> list[np.ndarray]:
    """Attribution of each tile (N,) and of each gene (G,) for one class, those of them that `inputs` holds."""
    most = max(value[0].numel() // value.shape[-1] for value in inputs)
    found = IntegratedGradients(score).attribute(
        inputs, zeros, target=target, n_steps=steps, internal_batch_size=max(1, TILES_AT_ONCE // most)
    )
    return [_array(part[0].sum(-1) if part.dim() == 3 else part[0]) for part in found]


def _repeated(batch: Batch, n: int, values: dict[str, Tensor]) -> Batch:
    """The patient n times, with other tiles (n,N,k) or genes (n,G) where they are given."""
    parts = {name: part.expand(n, *part.shape[1:]) for name, part in batch._asdict().items()}
    if IMAGE in values:
        parts["tiles"] = values[IMAGE]
    if EXPRESSION in values:
        parts["genes"] = values[EXPRESSION]
    return Batch(**parts)


def _array(values: Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()
