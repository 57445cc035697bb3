"""The largest pre-activations of each token, looked for with 8-bit numbers and then computed in float32.

Processors with instructions for 8-bit integers (AVX-512 VNNI) multiply them four times as fast as float32, and all
pre-activations of a batch are the most of a step. An 8-bit product tells who may be among the k largest: twice as many
candidates, whose pre-activations are then computed exactly. They show how far the 8-bit numbers are off, and so
whether a latent that is no candidate could be among the largest after all. That holds while what rounding takes away
is noise, so rows that lose many of their values are not trusted.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from histoweave.sae.largest import largest

_CANDIDATES = 2  # times k
# With fewer values, latents per candidate or tokens, rounding and candidates cost what the 8-bit product saves.
_MIN_DIM, _MIN_LATENTS, _MIN_TOKENS = 512, 64, 1024
# An error is a sum of many roundings, so nearly normal: none is expected beyond six standard deviations. Where some
# tokens have larger ones than others, the largest that was seen says so.
_DEVIATIONS, _TIMES_LARGEST, _MIN_ERRORS = 6, 1.5, 1000
_MAX_LOST = 0.1  # of the values of a row
_ROWS_AT_ONCE = 256  # that stay in the processor's cache: two thirds of the time
_MAX_SHIFT = 1 << 30  # an 8-bit product of up to 60,000 values can be added to it in 32 bits


@dataclass(frozen=True)
class Quantised:
    """A matrix as `integers` (n,D) int8 times `unit`. `exact` (n,D) float32 is what was rounded.

    `coarse` (n,) bool: rows of which more than a tenth of the values become 0, as beside one that is far larger; in
    these there may be a concept that the integers do not see.
    """

    integers: Tensor
    unit: Tensor
    exact: Tensor
    coarse: Tensor

    @classmethod
    def of(cls, matrix: Tensor) -> Quantised:
        """Round (n,D) to multiples of 1/127 of its largest number."""
        low, high = torch.aminmax(matrix)
        unit = torch.maximum(-low, high).clamp(min=torch.finfo(matrix.dtype).tiny) / 127
        integers = torch.empty(matrix.shape, dtype=torch.int8)
        coarse = torch.empty(len(matrix), dtype=torch.bool)
        for start in range(0, len(matrix), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            scaled = matrix[rows] / unit
            values = torch.linalg.vector_norm(scaled.sign(), dim=1).square()  # how many are not 0, quickly
            integers[rows] = scaled.round_()
            kept = torch.linalg.vector_norm(scaled.sign_(), dim=1).square()
            coarse[rows] = values - kept > _MAX_LOST * values
        return cls(integers, unit, matrix, coarse)


@functools.cache
def has_8_bit_products() -> bool:
    """Whether this processor has them, and they are right: oneDNN can be told to leave them out (or not know them).

    Without them it adds two products in 16 bits, which overflows, and says nothing.
    """
    if not torch.cpu.get_capabilities().get("avx512_vnni", False):
        return False
    largest_number = torch.full((64, 512), 127, dtype=torch.int8)
    return bool((torch._int_mm(largest_number, largest_number.T) == 127 * 127 * 512).all())


def pays(tokens: Tensor, n_latents: int, k: int) -> bool:
    """Whether screening these tokens (n,D) is worth it: a processor that is fast at it, and enough to do."""
    return (
        tokens.device.type == "cpu"
        and has_8_bit_products()
        and len(tokens) >= _MIN_TOKENS
        and tokens.shape[1] >= _MIN_DIM
        and n_latents >= _MIN_LATENTS * _CANDIDATES * k
    )


@torch.no_grad()
def screen(tokens: Tensor, w_enc: Quantised, b_enc: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest pre-activations x' w_enc + b_enc of each token x' (n,D), with w_enc (L,D) and b_enc (L,).

    Returns
    -------
    Values (n,k) and latents (n,k) int64, in no order; and the tokens (n_unsure,) int64 for which a latent that was no
    candidate could be one of the k largest and positive: where 8-bit numbers are too coarse.
    """
    x = Quantised.of(tokens)
    unit = x.unit * w_enc.unit
    shift = (b_enc / unit).clamp_(-_MAX_SHIFT, _MAX_SHIFT).round_().to(torch.int32)
    scores, candidates = largest(torch._int_mm(x.integers, w_enc.integers.T).add_(shift), _CANDIDATES * k)
    z = _dots(tokens, w_enc.exact, candidates).add_(b_enc[candidates])
    values, position = z.topk(k, dim=1, sorted=False)
    scores = scores * unit
    others_at_most = scores.amin(dim=1) + _possible_error(z - scores)
    sure = (values.amin(dim=1).clamp(min=0) > others_at_most) & ~x.coarse & ~w_enc.coarse.any()
    return values, candidates.gather(1, position), (~sure).nonzero().squeeze(1)


def _possible_error(seen: Tensor) -> float:
    """How far a pre-activation may be from its 8-bit one, given how far those of the candidates (n,c) are."""
    if seen.numel() < _MIN_ERRORS:
        return math.inf
    deviation = torch.linalg.vector_norm(seen).item() / math.sqrt(seen.numel())
    return max(_DEVIATIONS * deviation, _TIMES_LARGEST * torch.linalg.vector_norm(seen, ord=math.inf).item())


def _dots(rows: Tensor, table: Tensor, chosen: Tensor) -> Tensor:
    """(n,c): each row (n,D) times those rows of `table` (L,D) that are `chosen` (n,c) for it."""
    n, n_chosen = chosen.shape
    row = torch.arange(n).repeat_interleave(n_chosen)
    start = torch.arange(0, n * n_chosen, n_chosen)
    # The gradient of embedding_bag to its weights is just that, without a copy of the chosen rows.
    dots = torch.ops.aten._embedding_bag_per_sample_weights_backward(rows, table, chosen.flatten(), start, row, 0)
    return dots.view(n, n_chosen)
