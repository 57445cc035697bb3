"""How well a dictionary rebuilds tokens, and with how many latents: to be read on tokens that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from histoweave.errors import InputError
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.stream import chunks
from histoweave.sae.tokens import Tokens, read

_PREACTIVATIONS_AT_ONCE = 1 << 25


@dataclass(frozen=True)
class Scores:
    """
    Attributes
    ----------
    explained_variance: 1 − Σ||x − x̂||² / Σ||x − m||², m the mean of these tokens, a vector. A scalar mean, or none,
        would flatter tokens with a large common offset. explained_variance_training: the same with the mean of the
        tokens it was fitted on; NaN if that is unknown.
    l0: active latents per token. dead_share: of the latents, that fire on none of these tokens.
    dead_share_magnitude: or whose mean activation where they fire is below a bound.
    """

    n_tokens: int
    explained_variance: float
    explained_variance_training: float
    l0: float
    dead_share: float
    dead_share_magnitude: float


def score(sae: SparseAutoencoder, tokens: Tokens, *, dead_below: float, device: torch.device) -> Scores:
    """Score a dictionary; `dead_below` is a mean activation, in the unit of the tokens.

    Raises
    ------
    InputError
        if there are no tokens, they are all the same, do not fit the dictionary, or hold NaN or infinity.
    """
    if not tokens.n_tokens:
        raise InputError("sae: there are no tokens to score on; are there images with status 'ok' in the cohort?")
    sae.check_dim(tokens.dim, what=tokens.blocks[0].path)
    sae = sae.to(device)
    origin = sae.b_dec if sae.training_mean is None else sae.training_mean
    errors = squares = 0.0
    offset = torch.zeros(sae.dim, dtype=torch.float64, device=device)
    fired = torch.zeros(sae.n_latents, dtype=torch.int64, device=device)
    activation = torch.zeros(sae.n_latents, dtype=torch.float64, device=device)
    for chunk in chunks(tokens, max(1, _PREACTIVATIONS_AT_ONCE // sae.n_latents)):
        x = torch.from_numpy(read(chunk)).to(device)
        f = sae.encode(x)
        errors += (x - sae.decode(f)).square().sum(dtype=torch.float64).item()
        deviation = (x - origin).double()
        squares += deviation.square().sum().item()
        offset += deviation.sum(dim=0)
        fired += (f > 0).sum(dim=0)
        activation += f.sum(dim=0, dtype=torch.float64)
    variance = squares - offset.square().sum().item() / tokens.n_tokens
    if variance <= 1e-10 * squares:
        raise InputError(f"{tokens.blocks[0].path}: all tokens are the same; check the pictures and the encoder")
    weak = (fired == 0) | (activation < dead_below * fired)
    return Scores(
        n_tokens=tokens.n_tokens,
        explained_variance=1 - errors / variance,
        explained_variance_training=1 - errors / squares if sae.training_mean is not None else np.nan,
        l0=fired.sum().item() / tokens.n_tokens,
        dead_share=(fired == 0).double().mean().item(),
        dead_share_magnitude=weak.double().mean().item(),
    )
