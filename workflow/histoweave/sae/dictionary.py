"""A dictionary while it is fitted, on centred and scaled tokens; and how it is applied to tokens as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from histoweave.sae.scaling import Scaling

# Of the decoder's transpose. Smaller pre-activations let latents compete sooner; but at 0.3 more of them end dead in
# short runs, and large batches are explained less well.
_ENCODER_SCALE = 0.4


@dataclass(frozen=True)
class Dictionary:
    """Weights that take gradients.

    Attributes
    ----------
    w_enc, w_dec: (L,D), one row per latent; rows of w_dec have length 1. b_enc: (L,). b_dec: (D,).
    """

    w_enc: Tensor
    b_enc: Tensor
    w_dec: Tensor
    b_dec: Tensor

    @classmethod
    def random(cls, centre: Tensor, n_latents: int, *, seed: int) -> Dictionary:
        """Random directions around `centre` (D,), the encoder a small multiple of the decoder."""
        rows = np.random.default_rng(seed).standard_normal((n_latents, len(centre)), dtype=np.float32)
        w_dec = torch.nn.functional.normalize(torch.from_numpy(rows).to(centre.device), dim=1)
        weights = (_ENCODER_SCALE * w_dec, centre.new_zeros(n_latents), w_dec, centre.clone())
        return cls(*(weight.requires_grad_() for weight in weights))

    @property
    def n_latents(self) -> int:
        """Size of the dictionary."""
        return len(self.w_dec)

    def weights(self) -> list[Tensor]:
        """All of them, for an optimiser."""
        return [self.w_enc, self.b_enc, self.w_dec, self.b_dec]

    @torch.no_grad()
    def unscaled(self, scaling: Scaling) -> dict[str, Any]:
        """The weights of a `SparseAutoencoder`, for tokens that are neither centred nor scaled.

        With x' = s (x − m), z' = (x' − b') w + c' is s times (x − (m + b'/s)) w + c'/s: the weights stay, activations
        come in the tokens' own units, and f w_dec + (m + b'/s) rebuilds x.
        """
        return {
            "w_enc": self.w_enc.detach().T.contiguous().cpu(),
            "b_enc": (self.b_enc / scaling.scale).cpu(),
            "w_dec": self.w_dec.detach().clone().cpu(),
            "b_dec": (scaling.mean + self.b_dec / scaling.scale).cpu(),
        }
