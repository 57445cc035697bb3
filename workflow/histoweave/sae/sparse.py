"""Encoding and decoding with few active latents per token, at the cost of those few.

A dense step multiplies (n,D) with (D,L) six times: encode, decode, and the gradients of both. Here only the dense
encoding remains, which decides who is active. The rest are weighted sums over the pairs (token, active latent):
over each token's pairs to decode, over each latent's pairs for the gradients of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


@dataclass(frozen=True)
class Pairs:
    """The m active pairs (row, latent), sorted by row. A row is a token, or what else is decoded on its own.

    Attributes
    ----------
    row, latent: (m,) int64. row_start: (n,) int64, first pair of each row; latent_start: (L,) int64, first pair of
    each latent in `by_latent`: (m,) int64, the pairs in order of latent, whose rows are `row_by_latent`: (m,) int64.
    """

    row: Tensor
    latent: Tensor
    row_start: Tensor
    by_latent: Tensor
    row_by_latent: Tensor
    latent_start: Tensor

    @classmethod
    def of(cls, row: Tensor, latent: Tensor, *, n_rows: int, n_latents: int) -> Pairs:
        """Index the pairs both ways; `row` is sorted."""
        grouped, by_latent = torch.sort(latent.to(torch.int32), stable=True)  # half the time of int64
        return cls(row, latent, _starts(row, n_rows), by_latent, row[by_latent], _starts(grouped, n_latents))

    def sum_by_row(self, table: Tensor, weight: Tensor) -> Tensor:
        """(n,D): for each row, the sum of weight · table[latent] over its pairs; table (L,D), weight (m,)."""
        return _weighted_sums(table, self.latent, weight, self.row_start)

    def sum_by_latent(self, table: Tensor, weight: Tensor) -> Tensor:
        """(L,D): for each latent, the sum of weight · table[row] over its pairs; table (n,D), weight (m,)."""
        return _weighted_sums(table, self.row_by_latent, weight[self.by_latent], self.latent_start)

    def n_rows_of_latent(self) -> Tensor:
        """(L,) int64: the number of pairs of each latent."""
        return torch.diff(self.latent_start, append=self.latent_start.new_tensor([len(self.latent)]))


def _starts(sorted_keys: Tensor, n: int) -> Tensor:
    return torch.searchsorted(sorted_keys, torch.arange(n, dtype=sorted_keys.dtype, device=sorted_keys.device))


def _weighted_sums(table: Tensor, chosen: Tensor, weight: Tensor, starts: Tensor) -> Tensor:
    return functional.embedding_bag(chosen, table, starts, mode="sum", per_sample_weights=weight)


def encode(z: Tensor, pairs: Pairs, centred: Tensor, w_enc: Tensor, b_enc: Tensor, b_dec: Tensor) -> Tensor:
    """The pre-activations (m,) of the pairs, with gradients for the weights.

    Parameters
    ----------
    z: (m,) (x − b_dec) · w_enc[latent] + b_enc[latent] of each pair, computed before, without gradients.
    centred: (n,D) x − b_dec; it takes no gradient. w_enc: (L,D). b_enc: (L,). b_dec: (D,).
    """
    return _Encode.apply(z, pairs, centred, w_enc, b_enc, b_dec)


def decode(activations: Tensor, pairs: Pairs, w_dec: Tensor) -> Tensor:
    """(n,D): for each row, the sum of activation · w_dec[latent] over its pairs; activations (m,), w_dec (L,D)."""
    rows = pairs.sum_by_row(w_dec.detach(), activations)  # the gradients of activations are torch's own
    return _DecoderGradient.apply(rows, activations.detach(), pairs, w_dec)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, pairs: Pairs, centred: Tensor, w_enc: Tensor, b_enc: Tensor, b_dec: Tensor
    ) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(centred, w_enc)
        return z.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        centred, w_enc = ctx.saved_tensors
        d_w_enc = ctx.pairs.sum_by_latent(centred, gradient)
        d_b_enc = ctx.pairs.sum_by_latent(centred.new_ones(len(centred), 1), gradient).squeeze(1)
        return None, None, None, d_w_enc, d_b_enc, -(d_b_enc @ w_enc)


class _DecoderGradient(torch.autograd.Function):
    """Gives decoded rows on as they are, and their gradient to w_dec as well."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, activations: Tensor, pairs: Pairs, w_dec: Tensor) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(activations)
        return rows.view_as(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (activations,) = ctx.saved_tensors
        return gradient, None, None, ctx.pairs.sum_by_latent(gradient, activations)
