"""Centring and scaling of tokens. A large common offset kills latents at the start, so it is always taken away."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from histoweave.errors import InputError
from histoweave.sae.stream import chunks
from histoweave.sae.tokens import Tokens, read

_TOKENS_AT_ONCE = 8192


@dataclass(frozen=True)
class Scaling:
    """x' = scale · (x − mean), so that the squared length of a token is its dimension D on average.

    Attributes
    ----------
    mean: (D,) float32. scale: positive. n_tokens: that were measured.
    mean_length: mean of ||x|| over the tokens as they are.
    gamma: ||mean|| / ||σ||, σ the standard deviations of the D values. Above about 1, dictionaries that are fitted
        without centring begin with dead latents (arXiv 2605.31518).
    """

    mean: torch.Tensor
    scale: float
    gamma: float
    mean_length: float
    n_tokens: int

    def apply(self, tokens: torch.Tensor) -> torch.Tensor:
        """The tokens (n,D) centred and scaled."""
        return (tokens - self.mean).mul_(self.scale)


def measure(tokens: Tokens, *, device: torch.device) -> Scaling:
    """Read all tokens once.

    Raises
    ------
    InputError
        if there are fewer than two, if they are all the same, or if an image's tokens hold NaN or infinity.
    """
    if tokens.n_tokens < 2:
        raise InputError(f"sae: {tokens.n_tokens} tokens to fit on; are there images with status 'ok' in the cohort?")
    shift: np.ndarray | None = None
    total = np.zeros(tokens.dim)
    squares = lengths = 0.0
    for chunk in chunks(tokens, _TOKENS_AT_ONCE):
        values = read(chunk)
        lengths += float(_lengths(values).sum())
        shift = values.mean(axis=0) if shift is None else shift  # near the mean: differences of large sums are avoided
        values -= shift
        total += values.sum(axis=0, dtype=np.float64)
        squares += float(np.square(_lengths(values)).sum())
    offset = total / tokens.n_tokens
    assert shift is not None  # there is a token
    mean = shift + offset
    variance = squares / tokens.n_tokens - float(offset @ offset)
    if variance <= 1e-10 * float(mean @ mean) or variance <= 0:
        raise InputError(f"sae: all {tokens.n_tokens} tokens are the same; check the pictures and the encoder")
    return Scaling(
        mean=torch.tensor(mean, dtype=torch.float32, device=device),
        scale=math.sqrt(tokens.dim / variance),
        gamma=float(np.linalg.norm(mean)) / math.sqrt(variance),
        mean_length=lengths / tokens.n_tokens,
        n_tokens=tokens.n_tokens,
    )


def _lengths(values: np.ndarray) -> np.ndarray:
    """Of the rows, float64. torch works with several threads and without a copy of the squares."""
    return torch.linalg.vector_norm(torch.from_numpy(values), dim=1).double().numpy()
