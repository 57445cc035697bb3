"""Dead latents: who they are, and the auxiliary loss that brings them back (AuxK; Gao et al. 2024, arXiv 2406.04093)."""

from __future__ import annotations

import torch
from torch import Tensor

from histoweave.sae.dictionary import Dictionary


class Silence:
    """For how many tokens each latent has not fired; one of more than `limit` is dead."""

    def __init__(self, n_latents: int, *, limit: int, device: torch.device):
        self._tokens = torch.zeros(n_latents, dtype=torch.int64, device=device)
        self._limit = limit

    def add(self, fired: Tensor, n_tokens: int) -> None:
        """Count a batch of `n_tokens` tokens, of which `fired` (L,) fired each latent."""
        self._tokens += n_tokens
        self._tokens[fired > 0] = 0

    def dead(self) -> Tensor:
        """The dead latents, (n_dead,) int64."""
        return (self._tokens > self._limit).nonzero().squeeze(1)


def revival_loss(dictionary: Dictionary, tokens: Tensor, error: Tensor, dead: Tensor) -> Tensor:
    """How badly dead latents explain what the others left over: ||e − ê||² per token, in the unit of the main loss.

    ê is decoded from the D/2 largest pre-activations of a token among the dead latents, whatever their sign: a latent
    that ReLU holds at zero could not learn. With fewer than D/2 dead latents the loss is scaled down in proportion.
    Only their own weights take gradients: `error` is a constant, and b_dec, which it has had taken off already, is
    neither added to ê nor learned from.

    Parameters
    ----------
    tokens: (n,D) centred and scaled. error: (n,D), x' − x̂', without gradients. dead: (n_dead,), one or more.
    """
    n_active = max(1, tokens.shape[1] // 2)
    w_enc, b_enc, w_dec = (weight.index_select(0, dead) for weight in dictionary.weights()[:3])
    z = torch.addmm(b_enc, tokens - dictionary.b_dec.detach(), w_enc.T)
    if len(dead) > n_active:
        values, latents = z.topk(n_active, dim=1, sorted=False)
        z = torch.zeros_like(z).scatter(1, latents, values)
    share = min(1.0, len(dead) / n_active)
    return share * (error - z @ w_dec).square().sum() / len(tokens)
