"""A sparse autoencoder as it is applied: weights, and how pre-activations become activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from histoweave.errors import InputError
from histoweave.sae.largest import largest

Architecture = Literal["standard", "topk", "jumprelu"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseAutoencoder:
    """Encodes tokens x (n,D) as f = σ((x − b_dec) W_enc + b_enc) and decodes them as f W_dec + b_dec.

    The centring and the scaling of training are folded into the weights: it takes tokens as they are.

    Attributes
    ----------
    architecture: σ. `standard`: ReLU. `topk`: ReLU, then the k largest of a token. `jumprelu`: z where z > threshold,
        else 0; BatchTopK and Matryoshka dictionaries become this, so that no token depends on its batch.
    w_enc: (D,L), b_enc: (L,), w_dec: (L,D), b_dec: (D,) float32. threshold: (L,) of `jumprelu`. k: of `topk`.
    training_mean: (D,) mean of the tokens that it was fitted on, None if unknown: the baseline of explained variance.
    firing: (L,) share of the tokens it was fitted on that fire each latent, None if unknown.
    metadata: how it came about, plain values; kept through saving and loading.
    """

    architecture: Architecture
    w_enc: torch.Tensor
    b_enc: torch.Tensor
    w_dec: torch.Tensor
    b_dec: torch.Tensor
    k: int | None = None
    threshold: torch.Tensor | None = None
    training_mean: torch.Tensor | None = None
    firing: torch.Tensor | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Length of a token."""
        return self.w_dec.shape[1]

    @property
    def n_latents(self) -> int:
        """Size of the dictionary."""
        return self.w_dec.shape[0]

    def check_dim(self, dim: int, *, what: str) -> None:
        """
        Raises
        ------
        InputError
            if tokens of length `dim`, which are `what`, cannot be encoded.
        """
        if dim != self.dim:
            raise InputError(
                f"{what}: tokens of {dim} values do not fit a sparse autoencoder of {self.dim}; "
                "embed them with the encoder and block that it was fitted on"
            )

    def to(self, device: torch.device) -> SparseAutoencoder:
        """The same on another device."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in tensors.items()}
        return replace(self, **moved)

    @torch.inference_mode()
    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Activations (n,L) float32 of tokens (n,D) float32, zero where a latent does not fire."""
        z = torch.addmm(self.b_enc, tokens - self.b_dec, self.w_enc)
        if self.architecture == "jumprelu":
            assert self.threshold is not None
            return torch.where(z > self.threshold, z, 0.0).relu_()
        z = z.relu_()
        if self.architecture == "topk":
            assert self.k is not None
            values, latents = largest(z, min(self.k, self.n_latents))
            return torch.zeros_like(z).scatter_(1, latents, values)
        return z

    @torch.inference_mode()
    def decode(self, activations: torch.Tensor) -> torch.Tensor:
        """Tokens (n,D) rebuilt from activations (n,L)."""
        return torch.addmm(self.b_dec, activations, self.w_dec)
