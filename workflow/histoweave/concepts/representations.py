"""From an image's tokens to one vector: the concepts, and what they have to be better than.

A concept score says nothing by itself: sparse autoencoders often lose to a logistic regression on the raw embedding,
and random dictionaries come close to trained ones (Kantamneni et al. 2025, arXiv 2502.16681; arXiv 2602.14111). So
every representation is fitted on training images alone, and is then classified in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.sparse import csr_matrix

from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.columns import Matrix
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens

POOLING = {"mean": "mean", "max": "peak", "count": "count"}
MAX_CLUSTERS = 1024
# Tokens that the clusters are fitted on, and the most images they are drawn from.
_KMEANS_TOKENS = 50_000
_KMEANS_IMAGES = 5_000
_TOKENS_PER_CLUSTER = 10
_BATCH_TOKENS = 1 << 15
# Variance relative to the first component's: below it is the rounding of float32 features.
_PCA_RANK = 1e-7


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData:
    """All that representations are made from, for the N images of a cohort in one order.

    Attributes
    ----------
    tokens: of the images. means: (N,D) float32, mean over the tokens of each.
    features: (N,P) float32, the encoder's own embedding; None where there is none (the tiles of slides).
    concepts, random: the images seen through the dictionary, and through its random twin (`random_dictionary`).
    """

    tokens: Tokens
    means: np.ndarray
    features: np.ndarray | None
    concepts: ImageActivations
    random: ImageActivations


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How representations are made.

    pooling: key of `POOLING`, from tokens to an image. left_out: concepts that an expert rejected. seed: of everything.
    """

    pooling: str = "mean"
    left_out: tuple[int, ...] = ()
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Representation:
    """A fitted representation: call it with images of any cohort to get their vectors (N,F).

    fitted: all that it learned from its training images.
    """

    apply: Callable[..., Matrix]
    fitted: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, data: ImageData) -> Matrix:
        return self.apply(data, **self.fitted)


def token_means(tokens: Tokens) -> np.ndarray:
    """Mean token (N,D) float32 of each image."""
    means = np.empty((len(tokens.blocks), tokens.dim), dtype=np.float32)
    row = 0
    for blocks, values in tokens.batches(_BATCH_TOKENS):
        for part in np.split(values, np.cumsum([len(block) for block in blocks])[:-1]):
            means[row] = part.mean(axis=0, dtype=np.float64)
            row += 1
    return means


def pooled(activations: ImageActivations, pooling: str) -> csr_matrix:
    """Vectors (N,L) of the images: `mean` or `max` of each latent over the tokens, or `count` of tokens that show it."""
    matrix = getattr(activations, POOLING[pooling]).copy()
    matrix.eliminate_zeros()
    return matrix


def active_per_token(activations: ImageActivations, rows: np.ndarray) -> int:
    """Active latents per token of some images, rounded, at least 1."""
    return max(1, round(activations.n_active[rows].sum() / activations.n_tokens[rows].sum()))


def random_dictionary(sae: SparseAutoencoder, *, active: int, seed: int) -> SparseAutoencoder:
    """The random twin of a dictionary: as many random unit directions, frozen, around the mean of its training tokens.

    A token fires the `active` directions that it points to most (`active_per_token` of the dictionary itself).
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(sae.n_latents, sae.dim, generator=generator)
    directions = directions / directions.norm(dim=1, keepdim=True)
    centre = sae.b_dec if sae.training_mean is None else sae.training_mean
    return SparseAutoencoder(
        architecture="topk",
        w_enc=directions.T.contiguous(),
        b_enc=torch.zeros(sae.n_latents),
        w_dec=directions,
        b_dec=centre.cpu().clone(),
        k=active,
        training_mean=centre.cpu().clone(),
    )


def _concepts(data: ImageData, train: np.ndarray, choice: Choice) -> Representation:
    """Pooled activations of the dictionary, without rejected concepts."""
    kept = np.setdiff1d(np.arange(data.concepts.n_latents), choice.left_out)
    return Representation(lambda data, kept: pooled(data.concepts, choice.pooling)[:, kept], {"kept": kept})


def _random(data: ImageData, train: np.ndarray, choice: Choice) -> Representation:
    """Pooled activations of the dictionary's random twin."""
    return Representation(lambda data: pooled(data.random, choice.pooling))


def _raw(data: ImageData, train: np.ndarray, choice: Choice) -> Representation:
    """Mean of the tokens."""
    return Representation(lambda data: data.means)


def _embedding(data: ImageData, train: np.ndarray, choice: Choice) -> Representation | None:
    """The encoder's own embedding: what its plain user would take."""
    return None if data.features is None else Representation(lambda data: data.features)


def _pca(data: ImageData, train: np.ndarray, choice: Choice) -> Representation:
    """Principal components of the token means, as many as concepts fire in the training images (if there are so many)."""
    fires = data.concepts.mean[train].getnnz(axis=0) > 0
    return _components(data, train, n=int(fires.sum()))


def _pca_small(data: ImageData, train: np.ndarray, choice: Choice) -> Representation:
    """Principal components of the token means, as many as concepts are active in a token."""
    return _components(data, train, n=active_per_token(data.concepts, train))


def _components(data: ImageData, train: np.ndarray, *, n: int) -> Representation:
    """The first `n` (at least 1) principal components of the training rows, without those that hold rounding only."""
    rows = data.means[train].astype(np.float64)
    centre = rows.mean(axis=0)
    variance, axes = np.linalg.eigh((rows - centre).T @ (rows - centre))  # ascending
    n = max(1, min(n, int((variance > _PCA_RANK * variance[-1]).sum())))
    fitted = {"centre": centre, "components": axes[:, ::-1][:, :n].T}
    return Representation(lambda data, centre, components: (data.means - centre) @ components.T, fitted)


def _kmeans(data: ImageData, train: np.ndarray, choice: Choice) -> Representation:
    """Share of an image's tokens in each cluster of the training tokens (mini-batch k-means).

    As many clusters as latents, at most `MAX_CLUSTERS` and one per `_TOKENS_PER_CLUSTER` of the sampled tokens.
    """
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(choice.seed)
    sample = _sample_tokens(data.tokens, [data.tokens.blocks[row].image for row in train], rng)
    n = min(data.concepts.n_latents, MAX_CLUSTERS, max(1, len(sample) // _TOKENS_PER_CLUSTER))
    model = MiniBatchKMeans(n, random_state=choice.seed, n_init=1, batch_size=4096).fit(sample)
    return Representation(_histogram, {"centres": model.cluster_centers_})


def _sample_tokens(tokens: Tokens, images: list[str], rng: np.random.Generator) -> np.ndarray:
    """About `_KMEANS_TOKENS` tokens (n,D) float32, equally many per image, of at most `_KMEANS_IMAGES` images."""
    chosen = rng.permutation(sorted(images))[:_KMEANS_IMAGES]
    per_image = -(-_KMEANS_TOKENS // len(chosen))
    parts = []
    for blocks, values in tokens.select(chosen).batches(_BATCH_TOKENS):
        for part in np.split(values, np.cumsum([len(block) for block in blocks])[:-1]):
            parts.append(part[rng.permutation(len(part))[:per_image]])
    return np.concatenate(parts)


def _histogram(data: ImageData, centres: np.ndarray) -> np.ndarray:
    counts = np.zeros((len(data.tokens.blocks), len(centres)), dtype=np.float32)
    # ||x − c||² = ||x||² − 2 (x · c − ||c||² / 2)
    offset = 0.5 * np.square(centres).sum(axis=1)
    row = 0
    for blocks, values in data.tokens.batches(_BATCH_TOKENS):
        nearest = (values @ centres.T - offset).argmax(axis=1)
        for part in np.split(nearest, np.cumsum([len(block) for block in blocks])[:-1]):
            counts[row] = np.bincount(part, minlength=len(centres)) / len(part)
            row += 1
    return counts


Fit = Callable[[ImageData, np.ndarray, Choice], Representation | None]

# The first is what is judged, the others are what it is judged by.
REPRESENTATIONS: dict[str, Fit] = {
    "concepts": _concepts,
    "raw": _raw,
    "embedding": _embedding,
    "pca": _pca,
    "pca_small": _pca_small,
    "kmeans": _kmeans,
    "random": _random,
}


def fit_all(
    data: ImageData, train: np.ndarray, choice: Choice, *, names: Iterable[str] = tuple(REPRESENTATIONS)
) -> Iterable[tuple[str, Representation]]:
    """Fit the named representations on the rows `train` (n,) of `data`; those that the data do not allow are left out."""
    for name in names:
        representation = REPRESENTATIONS[name](data, train, choice)
        if representation is not None:
            yield name, representation
