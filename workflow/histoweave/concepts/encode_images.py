"""Encoding the images of a cohort by a dictionary, in bounded memory. Who reads `activations` alone needs no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix

from histoweave.concepts.activations import ImageActivations
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens

# Activations are dense while they are made: tokens at once × latents, at most this many values (64 MB).
_MAX_VALUES = 1 << 24


def encode_images(
    sae: SparseAutoencoder, tokens: Tokens, *, token_threshold: float, device: torch.device, what: str = "tokens"
) -> ImageActivations:
    """Encode all images of `tokens`, in bounded memory.

    Parameters
    ----------
    token_threshold: activation above which a token counts as showing a latent.
    what: name of the tokens in messages.

    Raises
    ------
    InputError
        if the tokens do not fit the dictionary, or hold NaN.
    """
    if tokens.blocks:
        sae.check_dim(tokens.dim, what=what)
    sae = sae.to(device)
    found: list[dict[str, Any]] = []
    at_once = max(1, _MAX_VALUES // sae.n_latents)
    for blocks, values in tokens.batches(at_once):
        x = torch.from_numpy(values)
        if len(blocks) == 1:  # alone, it can have more tokens than fit at once
            found.append(_summary((_Encoded.of(sae, part.to(device)) for part in x.split(at_once)), token_threshold))
        else:
            encoded = _Encoded.of(sae, x.to(device))
            bounds = itertools.pairwise(np.cumsum([0, *map(len, blocks)]).tolist())
            found += [_summary([encoded.rows(*rows)], token_threshold) for rows in bounds]
    indices = _joined(found, "indices", np.int32)
    indptr = np.cumsum([0, *(len(image["indices"]) for image in found)], dtype=np.int64)
    shape = (len(found), sae.n_latents)
    return ImageActivations(
        images=tokens.images,
        **{
            name: csr_matrix((_joined(found, name, np.float32), indices, indptr), shape=shape)
            for name in ("mean", "peak", "count")
        },
        **{name: np.array([image[name] for image in found], dtype=np.int64) for name in ("n_tokens", "n_active")},
        **{name: np.array([image[name] for image in found], dtype=np.float64) for name in ("error", "deviation")},
        attributes={"token_threshold": token_threshold},
    )


def _joined(found: list[dict[str, Any]], name: str, dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=dtype), *(image[name] for image in found)]).astype(dtype, copy=False)


@dataclass(frozen=True, eq=False)
class _Encoded:
    """Some tokens, encoded: activations (n,L), and of each token its active latents, its error and its deviation."""

    activations: torch.Tensor
    n_active: torch.Tensor
    error: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(cls, sae: SparseAutoencoder, x: torch.Tensor) -> _Encoded:
        baseline = sae.b_dec if sae.training_mean is None else sae.training_mean
        f = sae.encode(x)
        return cls(
            activations=f,
            n_active=f.count_nonzero(dim=1),
            error=(x - sae.decode(f)).square_().sum(dim=1, dtype=torch.float64),
            deviation=(x - baseline).square_().sum(dim=1, dtype=torch.float64),
        )

    def rows(self, start: int, stop: int) -> _Encoded:
        """The tokens of one image among them."""
        return _Encoded(*(tensor[start:stop] for tensor in vars(self).values()))


def _summary(parts: Iterable[_Encoded], threshold: float) -> dict[str, Any]:
    """The latents that fire in one image, given its tokens in parts, with their statistics, and the image's sums."""
    seen: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    sums = {"n_tokens": 0, "n_active": 0, "error": 0.0, "deviation": 0.0}
    for part in parts:
        f = part.activations
        found = f.sum(dim=0, dtype=torch.float64), f.amax(dim=0), (f > threshold).sum(dim=0)
        seen = found if seen is None else (seen[0] + found[0], torch.maximum(seen[1], found[1]), seen[2] + found[2])
        sums["n_tokens"] += len(f)
        for name in ("n_active", "error", "deviation"):
            sums[name] += getattr(part, name).sum().item()
    assert seen is not None  # every image has tokens
    total, peak, count = seen
    fires = torch.nonzero(peak > 0).flatten()
    return sums | {
        "indices": fires.cpu().numpy(),
        "mean": (total[fires] / sums["n_tokens"]).float().cpu().numpy(),
        "peak": peak[fires].cpu().numpy(),
        "count": count[fires].float().cpu().numpy(),
    }


def patch_maps(
    sae: SparseAutoencoder, tokens: Tokens, latents: Mapping[str, Iterable[int]]
) -> dict[tuple[str, int], np.ndarray]:
    """Activation of every token of some images for some latents: (image, latent) → (T,) float32.

    Maps of all latents would not fit anywhere, so they are made again for those that are shown.
    """
    found: dict[tuple[str, int], np.ndarray] = {}
    for blocks, values in tokens.select(latents.keys()).batches(max(1, _MAX_VALUES // sae.n_latents)):
        start = 0
        for block in blocks:
            wanted = sorted(set(latents[block.image]))
            f = _activations_of(sae, values[start : start + len(block)], wanted)
            start += len(block)
            found.update({(block.image, latent): f[:, column] for column, latent in enumerate(wanted)})
    return found


def _activations_of(sae: SparseAutoencoder, values: np.ndarray, latents: list[int]) -> np.ndarray:
    step = max(1, _MAX_VALUES // sae.n_latents)
    parts = [sae.encode(part)[:, latents] for part in torch.from_numpy(values).to(sae.w_enc.device).split(step)]
    return torch.cat(parts).cpu().numpy()
