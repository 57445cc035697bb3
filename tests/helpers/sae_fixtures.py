"""Tokens that are made of known directions, and what a dictionary found of them; one thread to fit with."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
import pytest
import torch

from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens, cell_blocks


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A module imports this fixture to have it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Oracle:
    """Tokens (n,D) float32, the true directions (K,D) of length 1 that they are sums of."""

    tokens: np.ndarray
    directions: np.ndarray


def oracle(
    n: int, dim: int, n_true: int, *, active: int, gamma: float = 0.9, noise: float = 0.05, seed: int = 1000
) -> Oracle:
    """Each token is the sum of `active` directions, of noise, and of an offset.

    The odds of a direction fall with the root of its rank; it is weighted with 1 + |a normal number|. The mean of the
    tokens is `gamma` times as long as the vector of their standard deviations.
    """
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((n_true, dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # The largest of log odds + Gumbel noise are a draw without replacement.
    keys = rng.gumbel(size=(n, n_true)) - 0.5 * np.log(np.arange(1, n_true + 1))
    chosen = np.argpartition(-keys, active, axis=1)[:, :active]
    weight = np.zeros((n, n_true))
    np.put_along_axis(weight, chosen, 1 + np.abs(rng.standard_normal((n, active))), axis=1)
    tokens = weight @ directions + noise * rng.standard_normal((n, dim))
    tokens -= tokens.mean(axis=0)
    offset = rng.standard_normal(dim)
    tokens += gamma * np.sqrt(tokens.var(axis=0).sum()) * offset / np.linalg.norm(offset)
    return Oracle(tokens.astype(np.float32), directions.astype(np.float32))


def shard(path, tokens: np.ndarray, *, per_image: int = 50, dtype=np.float32) -> Tokens:
    """A shard of cells with these tokens, `per_image` in each image."""
    offsets = np.append(np.arange(0, len(tokens), per_image), len(tokens)).astype(np.int64)
    with h5py.File(path, "w") as file:
        file["tokens"] = tokens.astype(dtype)
        file["offsets"] = offsets
        file["cell"] = [f"cell{i}" for i in range(len(offsets) - 1)]
    return Tokens(cell_blocks(str(path)))


def recovered(sae: SparseAutoencoder, directions: np.ndarray, *, cosine: float = 0.9) -> float:
    """Share of the true directions that some decoder row points along."""
    return float(((directions @ sae.w_dec.numpy().T).max(axis=1) > cosine).mean())
