"""What is said of each latent: how often and how strongly it fires, in which images most, and how pure those are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.monosemanticity import monosemanticity
from histoweave.errors import InputError
from histoweave.settings.concepts import Concepts

_EPSILON = 1e-9  # in the logarithm of CytoSAE's entropy
NO_LABEL = -1


def aligned(images: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    """The rows of the images table that belong to `ids`, in their order.

    Raises
    ------
    InputError
        naming the first image that the table lacks.
    """
    place = pd.Index(images["image"]).get_indexer(pd.Index(ids))
    if (place < 0).any():
        raise InputError(
            f"image '{ids[int(np.argmax(place < 0))]}' was encoded, but the images table does not list it; "
            "encode the cohort again"
        )
    return images.iloc[place].reset_index(drop=True)


def label_column(images: pd.DataFrame) -> str | None:
    """The labels that describe top images: `label` where the cohort has any, else `patient_label`, else None."""
    return next((column for column in ("label", "patient_label") if images[column].notna().any()), None)


def top_images(activations: ImageActivations, k: int) -> pd.DataFrame:
    """The `k` images in which each latent fires most, by its mean over the image's tokens (CytoSAE's image score).

    Returns
    -------
    `concept`, `rank` (from 1), `image`, `activation` (float32), sorted by the first two. Equal activations are in
    order of image id. Images in which a latent does not fire are never listed, so there can be fewer than `k`.
    """
    ids = np.array(activations.images, dtype=object)
    by_id = np.argsort(ids, kind="stable")
    columns = activations.mean[by_id].tocsc()
    columns.sort_indices()  # a stable sort then keeps equal values in order of id
    rows, values, counts = [], [], []
    for start, stop in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        place = _largest(columns.data[start:stop], k)
        rows.append(columns.indices[start:stop][place])
        values.append(columns.data[start:stop][place])
        counts.append(len(place))
    found = by_id[np.concatenate(rows)]
    return pd.DataFrame(
        {
            "concept": np.repeat(np.arange(len(counts)), np.array(counts)),
            "rank": np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts) + 1,
            "image": ids[found],
            "activation": np.concatenate(values),
        }
    )


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Positions of the `k` largest values, the largest first, equal ones in their order."""
    if len(values) > k:
        candidates = np.flatnonzero(values >= np.partition(values, len(values) - k)[len(values) - k])
    else:
        candidates = np.arange(len(values))
    return candidates[np.argsort(-values[candidates], kind="stable")][:k]


def label_shares(values: np.ndarray, labels: np.ndarray) -> csr_matrix:
    """Share of each label in the top images of each latent, weighted by activation (not counts): (L,C) float64.

    Parameters
    ----------
    values: (L,k) activations, 0 where the latent does not fire. labels: (L,k) codes; `NO_LABEL` is left out.
    """
    known = (labels >= 0) & (values > 0)
    latents = np.nonzero(known)[0]
    shape = (len(values), int(labels.max(initial=-1)) + 1)
    sums = csr_matrix((values[known].astype(np.float64), (latents, labels[known])), shape=shape)
    sums.sum_duplicates()
    total = np.bincount(latents, weights=values[known], minlength=len(values))
    sums.data /= np.repeat(total, np.diff(sums.indptr))
    return sums


def label_entropy(values: np.ndarray, labels: np.ndarray, *, at_least: int) -> np.ndarray:
    """How mixed the labels of each latent's top images are: (L,) float64, natural logarithm.

    −Σ_c p_c ln(p_c + 1e-9) over the labels' activation-weighted shares, as CytoSAE's released code computes it
    (Dasdelen et al. 2025, arXiv 2507.12464). NaN where no listed image fires; else −1 where fewer than `at_least`
    labelled images are listed, which are too few to speak of purity.

    Parameters
    ----------
    values, labels: as for `label_shares`. CytoSAE's lists are filled up with images of activation 0, which count as
        listed there; pass them with their label to follow it, or with `NO_LABEL` so that only firing images count.
    """
    shares = label_shares(values, labels)
    p = shares.data
    entropy = csr_matrix((-p * np.log(p + _EPSILON), shares.indices, shares.indptr), shape=shares.shape)
    entropy = np.asarray(entropy.sum(axis=1)).ravel()
    entropy[(labels >= 0).sum(axis=1) < at_least] = -1
    entropy[~(values > 0).any(axis=1)] = np.nan
    return entropy


def n_distinct(codes: np.ndarray) -> np.ndarray:
    """Different codes per row of (L,k), negative ones left out: (L,) int64."""
    codes = np.sort(codes, axis=1)
    new = np.diff(codes, axis=1, prepend=-1) != 0
    return (new & (codes >= 0)).sum(axis=1)


def concept_table(
    activations: ImageActivations,
    images: pd.DataFrame,
    *,
    settings: Concepts,
    features: np.ndarray | None = None,
    top: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per latent.

    Parameters
    ----------
    images: the cohort's images table. features: (N,P) the encoder's own embedding of each image in the order of
        `activations.images`; None leaves `monosemanticity` NaN. top: of `top_images`, if it is there already.

    Returns
    -------
    `concept`, `firing_rate` (share of the images), `mean_activation` (over the images in which it fires, NaN without
    one), `max_activation` (largest image mean; 0 if dead), `peak_activation` (largest on one token), `n_images`, `dead`, `dead_by_magnitude` (dead, or mean
    below `dead_below`), `label_entropy`, `top_label` and its activation-weighted share `top_label_share` (the labels
    of `label_column`; None and NaN without), `n_top_patients`, `monosemanticity`.

    Raises
    ------
    InputError
        if an encoded image is not in the images table.
    """
    images = aligned(images, activations.images)
    top = top_images(activations, settings.top_images) if top is None else top
    mean, n_latents = activations.mean, activations.n_latents
    n_images = np.bincount(mean.indices, minlength=n_latents)
    total = np.bincount(mean.indices, weights=mean.data, minlength=n_latents)
    mean_activation = np.divide(total, n_images, out=np.full(n_latents, np.nan), where=n_images > 0)
    largest = np.zeros(n_latents, dtype=np.float32)
    first = top["rank"] == 1
    largest[top.loc[first, "concept"]] = top.loc[first, "activation"]
    of_labels = label_statistics(activations, images, _labels(images), top=top, k=settings.top_images)
    # What fires in images without a label only has too few of them, which is not the same as firing in none.
    unlabelled = np.isnan(of_labels["label_entropy"]) & (n_images > 0)
    of_labels["label_entropy"][unlabelled] = -1
    return pd.DataFrame(
        {
            "concept": np.arange(n_latents),
            "firing_rate": n_images / max(len(images), 1),
            "mean_activation": mean_activation,
            "max_activation": largest,
            "peak_activation": activations.peak.max(axis=0).toarray().ravel() if len(images) else largest,
            "n_images": n_images,
            "dead": n_images == 0,
            "dead_by_magnitude": ~(mean_activation >= settings.dead_below),
            **of_labels,
            "n_top_patients": _top_patients(top, images, n_latents=n_latents, k=settings.top_images),
            "monosemanticity": np.full(n_latents, np.nan) if features is None else monosemanticity(mean, features),
        }
    )


def _top_patients(top: pd.DataFrame, images: pd.DataFrame, *, n_latents: int, k: int) -> np.ndarray:
    """(L,) patients among the top images."""
    return n_distinct(_by_rank(top, images, pd.factorize(images["patient"], sort=True)[0], n_latents=n_latents, k=k))


def _by_rank(top: pd.DataFrame, images: pd.DataFrame, codes: np.ndarray, *, n_latents: int, k: int) -> np.ndarray:
    """The code of each listed image, by concept and rank: (L,k), −1 beyond the list."""
    filled = np.full((n_latents, k), NO_LABEL)
    filled[top["concept"], top["rank"] - 1] = codes[pd.Index(images["image"]).get_indexer(top["image"])]
    return filled


def _labels(images: pd.DataFrame) -> pd.Series:
    column = label_column(images)
    return images[column] if column else pd.Series([None] * len(images), dtype=object)


def label_statistics(
    activations: ImageActivations, images: pd.DataFrame, labels: pd.Series, *, k: int, top: pd.DataFrame | None = None
) -> dict[str, np.ndarray]:
    """`label_entropy`, `top_label` and `top_label_share` (see `concept_table`) of the top images that have a label.

    Parameters
    ----------
    images: rows of the images table in the order of `activations`. labels: of each, None where it does not count.
    top: of `top_images`, if it is there already; used if every image has a label.
    """
    n_latents = activations.n_latents
    if top is None or labels.isna().any():
        top = top_images(activations.of(images.loc[labels.notna().to_numpy(), "image"]), k)
    codes, names = pd.factorize(labels, sort=True, use_na_sentinel=True)
    codes = _by_rank(top, images, codes, n_latents=n_latents, k=k)
    values = np.zeros((n_latents, k), dtype=np.float32)
    values[top["concept"], top["rank"] - 1] = top["activation"]
    shares = label_shares(values, codes)
    top_label = np.full(n_latents, None, dtype=object)
    top_share = np.full(n_latents, np.nan)
    some = np.flatnonzero(np.diff(shares.indptr))
    if len(some):
        top_label[some] = np.asarray(names, dtype=object)[np.asarray(shares[some].argmax(axis=1)).ravel()]
        top_share[some] = shares[some].max(axis=1).toarray().ravel()
    return {
        "label_entropy": label_entropy(values, codes, at_least=k),
        "top_label": top_label,
        "top_label_share": top_share,
    }
