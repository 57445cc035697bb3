"""A cohort seen through a dictionary: per image and latent the mean and the peak activation over the image's tokens."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
import torch
from scipy.sparse import csr_matrix

from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens
from histoweave.storage.files import atomic_path
from histoweave.storage.hdf5 import new_hdf5

# Activations are dense while they are made: tokens at once × latents, at most this many values (64 MB).
_MAX_VALUES = 1 << 24
_PER_IMAGE = ("mean", "peak", "count", "n_tokens", "n_active", "error", "deviation")


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageActivations:
    """What a dictionary of L latents finds in N images.

    Attributes
    ----------
    images: N ids, in the order of the rows.
    mean, peak: (N,L) CSR float32, mean and maximum of a latent over all tokens of an image; both store the latents
        that fire in the image, and no others.
    count: (N,L) CSR float32, tokens of the image above the threshold (CytoSAE, Eq. 2); stores the same places, so it
        holds explicit zeros.
    n_tokens: (N,) int64. n_active: (N,) int64, active latents summed over the image's tokens.
    error, deviation: (N,) float64, sum over the tokens of ||x − x̂||² and of ||x − mean of the fit's tokens||².
    attributes: plain values: `sae_sha256`, `token_threshold`, ...
    """

    images: list[str]
    mean: csr_matrix
    peak: csr_matrix
    count: csr_matrix
    n_tokens: np.ndarray
    n_active: np.ndarray
    error: np.ndarray
    deviation: np.ndarray
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def n_latents(self) -> int:
        """Size of the dictionary."""
        return self.mean.shape[1]

    @property
    def explained_variance(self) -> float:
        """1 − Σ||x − x̂||² / Σ||x − training mean||² over all tokens (a vector mean, never a scalar one)."""
        return float(1 - self.error.sum() / self.deviation.sum())

    @property
    def l0(self) -> float:
        """Active latents per token."""
        return float(self.n_active.sum() / self.n_tokens.sum())

    def rows(self, images: Iterable[str]) -> np.ndarray:
        """The row of each of `images`; KeyError for an unknown one."""
        place = {image: row for row, image in enumerate(self.images)}
        return np.array([place[image] for image in images], dtype=np.int64)

    def of(self, images: Iterable[str]) -> ImageActivations:
        """Some of the images, in the order given; KeyError for an unknown one."""
        images = list(images)
        rows = self.rows(images)
        return replace(self, images=images, **{name: getattr(self, name)[rows] for name in _PER_IMAGE})

    def save(self, path: str | os.PathLike) -> None:
        """Write HDF5: `image`, `indptr`, `indices`, `mean`, `peak`, `count` (CSR, one pattern), and the rest by name."""
        with atomic_path(path) as temporary, new_hdf5(temporary) as file:
            file.attrs.update(self.attributes, n_latents=self.n_latents)
            file.create_dataset("image", data=self.images, dtype=h5py.string_dtype())
            file.create_dataset("indptr", data=self.mean.indptr.astype(np.int64))
            file.create_dataset("indices", data=self.mean.indices.astype(np.int32))
            for name in ("mean", "peak", "count"):
                file.create_dataset(name, data=getattr(self, name).data.astype(np.float32))
            for name in ("n_tokens", "n_active", "error", "deviation"):
                file.create_dataset(name, data=getattr(self, name))

    @classmethod
    def load(cls, path: str | os.PathLike) -> ImageActivations:
        """Read what `save` wrote."""
        with h5py.File(path) as file:
            attributes = dict(file.attrs)
            images = file["image"].asstr()[:].tolist()
            shape = (len(images), int(attributes.pop("n_latents")))
            pattern = file["indices"][:], file["indptr"][:]
            matrices = {name: csr_matrix((file[name][:], *pattern), shape=shape) for name in ("mean", "peak", "count")}
            rest = {name: file[name][:] for name in ("n_tokens", "n_active", "error", "deviation")}
            return cls(images=images, attributes=attributes, **matrices, **rest)


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
