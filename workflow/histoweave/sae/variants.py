"""The kinds of sparse autoencoder: which latents of a token are active, and what the loss is.

Losses are squared errors per token, ||x' − x̂'||², averaged over tokens, in the scaled space, where they are D without
any latent. Sparse kinds compute what is dense without gradients and the rest from the active pairs (`sparse`).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from histoweave.sae import sparse
from histoweave.sae.dictionary import Dictionary
from histoweave.sae.model import Architecture
from histoweave.sae.preactivations import LargestPreactivations, preactivations
from histoweave.sae.scaling import Scaling
from histoweave.sae.sparse import Pairs
from histoweave.settings.sae import Sae

_NESTED_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
_THRESHOLD_MEMORY = 0.99  # of the running mean: the last hundred steps or so


class Pass(NamedTuple):
    """What came of a batch: `loss`, a scalar with gradients; `error` (n,D), x' − x̂'; `fired` (L,) int64, tokens."""

    loss: Tensor
    error: Tensor
    fired: Tensor


class Variant(Protocol):
    """One kind, for one fit. It may learn along the way; `applied` tells what the applied form needs to know."""

    architecture: ClassVar[Architecture]

    def __init__(self, settings: Sae, scaling: Scaling): ...

    def __call__(self, dictionary: Dictionary, tokens: Tensor) -> Pass:
        """Pass tokens (n,D), centred and scaled, through the dictionary."""

    def applied(self, n_latents: int) -> dict[str, Any]:
        """`k` or `threshold` (L,) of the `SparseAutoencoder`, in the tokens' own units."""


class Standard:
    """ReLU, and a penalty on the sum of the activations.

    CytoSAE (arXiv 2507.12464) minimises the mean over tokens of (mean over D of (x − x̂)²) / ||x|| + l1 · Σ f. Ours is
    the same with the mean length of the tokens, R, in place of each token's: multiplied by D s² R and written in the
    scaled space (x' = s (x − m), f' = s f), it is ||x' − x̂'||² + l1 · D s R · Σ f'. So `l1` means what it means there.
    """

    architecture: ClassVar[Architecture] = "standard"

    def __init__(self, settings: Sae, scaling: Scaling):
        self._penalty = settings.l1 * len(scaling.mean) * scaling.scale * scaling.mean_length

    def __call__(self, dictionary: Dictionary, tokens: Tensor) -> Pass:
        z = torch.addmm(dictionary.b_enc, tokens - dictionary.b_dec, dictionary.w_enc.T)
        activations = z.relu()
        loss, error = _squared_error(tokens, torch.addmm(dictionary.b_dec, activations, dictionary.w_dec))
        loss = loss + self._penalty * activations.sum() / len(tokens)
        return Pass(loss, error, (activations.detach() > 0).sum(dim=0))

    def applied(self, n_latents: int) -> dict:
        return {}


class TopK:
    """The k largest positive pre-activations of each token (Gao et al. 2024, arXiv 2406.04093)."""

    architecture: ClassVar[Architecture] = "topk"

    def __init__(self, settings: Sae, scaling: Scaling):
        self._k = settings.k
        self._largest = LargestPreactivations(settings.k)

    def __call__(self, dictionary: Dictionary, tokens: Tensor) -> Pass:
        centred = tokens - dictionary.b_dec.detach()
        values, latent = (found.flatten() for found in self._largest(dictionary, centred))
        row = torch.arange(len(tokens), device=tokens.device).repeat_interleave(self._k)
        if not (positive := values > 0).all():
            row, latent, values = row[positive], latent[positive], values[positive]
        pairs = Pairs.of(row, latent, n_rows=len(tokens), n_latents=dictionary.n_latents)
        activations = _encode(dictionary, values, pairs, centred)
        loss, error = _squared_error(tokens, sparse.decode(activations, pairs, dictionary.w_dec) + dictionary.b_dec)
        return Pass(loss, error, pairs.n_rows_of_latent())

    def applied(self, n_latents: int) -> dict:
        return {"k": self._k}


class BatchTopK:
    """The k · n largest positive pre-activations of a batch of n tokens (Bussmann et al. 2024, arXiv 2412.06410).

    A token's activations would depend on the batch that it is in. So the smallest activation that was kept is averaged
    over the batches, the later ones more, and becomes the threshold of the applied form.
    """

    architecture: ClassVar[Architecture] = "jumprelu"

    def __init__(self, settings: Sae, scaling: Scaling):
        self._k = settings.k
        self._scale = scaling.scale
        self._threshold = _RunningMean()

    def __call__(self, dictionary: Dictionary, tokens: Tensor) -> Pass:
        centred = tokens - dictionary.b_dec.detach()
        token, latent, values = self._largest(preactivations(dictionary, centred))
        pairs = Pairs.of(token, latent, n_rows=len(tokens), n_latents=dictionary.n_latents)
        activations = _encode(dictionary, values, pairs, centred)
        loss, error = self._loss(dictionary, tokens, activations, pairs)
        return Pass(loss, error, pairs.n_rows_of_latent())

    def applied(self, n_latents: int) -> dict:
        return {"threshold": torch.full((n_latents,), self._threshold.value / self._scale)}

    def _largest(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Token, latent and value of each pre-activation that is kept, token after token."""
        n_kept = self._k * len(z)
        # Most of z is far below the threshold: to look for the largest among the rest gives the same, but sooner.
        token, latent = (z > 0.9 * self._threshold.value).nonzero(as_tuple=True)
        if len(token) < n_kept:
            token, latent = (z > 0).nonzero(as_tuple=True)
        values = z[token, latent]
        if len(values):
            smallest = values.topk(min(n_kept, len(values)), sorted=False).values.min()
            self._threshold.add(smallest.item())
            kept = values >= smallest
            token, latent, values = token[kept], latent[kept], values[kept]
        return token, latent, values

    def _loss(self, dictionary: Dictionary, tokens: Tensor, activations: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        return _squared_error(tokens, sparse.decode(activations, pairs, dictionary.w_dec) + dictionary.b_dec)


class Matryoshka(BatchTopK):
    """BatchTopK whose first latents must do without the later ones (Bussmann et al. 2025, arXiv 2503.17547).

    The loss is the mean over nested parts of the dictionary, its first 1/16, 1/8, 1/4, 1/2 and all of it. So general
    concepts come first, and a later, finer one does not take a part out of them.
    """

    def _loss(self, dictionary: Dictionary, tokens: Tensor, activations: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        n, dim = tokens.shape
        ends = sorted({math.ceil(share * dictionary.n_latents) for share in _NESTED_SHARES})
        # Between two ends, the latents of a token are a row of their own; running sums give what each part rebuilds.
        part = torch.bucketize(pairs.latent, torch.tensor(ends, device=tokens.device), right=True)
        nested = Pairs.of(
            pairs.row * len(ends) + part, pairs.latent, n_rows=n * len(ends), n_latents=dictionary.n_latents
        )
        rebuilt = sparse.decode(activations, nested, dictionary.w_dec).view(n, len(ends), dim).cumsum(dim=1)
        loss, errors = _squared_error(tokens.unsqueeze(1), rebuilt + dictionary.b_dec)
        return loss / len(ends), errors[:, -1]


VARIANTS: dict[str, type[Variant]] = {
    "standard": Standard,
    "topk": TopK,
    "batchtopk": BatchTopK,
    "matryoshka": Matryoshka,
}


class _RunningMean:
    """Mean of numbers, the weight of each falling with those that came after it; 0 without any."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, number: float) -> None:
        self._sum += (1 - _THRESHOLD_MEMORY) * (number - self._sum)
        self._weight += (1 - _THRESHOLD_MEMORY) * (1 - self._weight)

    @property
    def value(self) -> float:
        return self._sum / self._weight if self._weight else 0.0


def _encode(dictionary: Dictionary, z: Tensor, pairs: Pairs, centred: Tensor) -> Tensor:
    return sparse.encode(z, pairs, centred, dictionary.w_enc, dictionary.b_enc, dictionary.b_dec)


def _squared_error(tokens: Tensor, rebuilt: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of squared errors over the number of tokens (n,…,D), and the errors, which take no gradient."""
    error = tokens - rebuilt.detach()
    return _SquaredError.apply(rebuilt, error), error


class _SquaredError(torch.autograd.Function):
    """As autograd would have it, in fewer passes over the errors."""

    @staticmethod
    def forward(ctx: Any, rebuilt: Tensor, error: Tensor) -> Tensor:
        ctx.save_for_backward(error)
        return torch.linalg.vector_norm(error).square() / len(error)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (error,) = ctx.saved_tensors
        return error * (-2 * gradient / len(error)), None
