"""A cohort seen through a dictionary: per image and latent the mean and the peak activation over the image's tokens."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
from scipy.sparse import csr_matrix

from histoweave.storage.files import atomic_path
from histoweave.storage.hdf5 import new_hdf5

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
