"""From images to patients and classes: means of activations, and how classes differ."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from histoweave.concepts.images import patient_labels
from histoweave.errors import InputError


def group_means(matrix: csr_matrix, groups: Iterable[str | None]) -> tuple[list[str], csr_matrix]:
    """The mean of the rows of each group, every row of equal weight: sorted names, and (G,L) CSR float64.

    Parameters
    ----------
    matrix: (N,L). groups: N names; rows of None are left out.
    """
    codes, names = pd.factorize(pd.Series(list(groups), dtype=object), sort=True)
    rows = np.flatnonzero(codes >= 0)
    shape = (len(names), matrix.shape[0])
    members = csr_matrix((np.ones(len(rows)), (codes[rows], rows)), shape=shape)
    means = (members @ matrix.astype(np.float64)).tocsr()
    means.sort_indices()
    means.data /= np.repeat(np.diff(members.indptr), np.diff(means.indptr))
    return list(names), means


def patient_vectors(matrix: csr_matrix, images: pd.DataFrame) -> tuple[list[str], csr_matrix]:
    """Mean over a patient's images, each image of equal weight whatever its number of tokens.

    It divides by the number of the patient's images, so it does not depend on how many cells were pictured; CytoSAE's
    released code divides by the number of latents instead.

    Parameters
    ----------
    matrix: (N,L) image activations. images: N rows in the same order, with `patient`.
    """
    return group_means(matrix, images["patient"])


def class_vectors(matrix: csr_matrix, images: pd.DataFrame, *, column: str) -> tuple[list[str], csr_matrix, np.ndarray]:
    """Mean over the images of a class (`column` = `label`), or over its patients' vectors (`patient_label`).

    Returns
    -------
    sorted classes, (C,L) CSR float64, (C,) int64 images or patients of each.
    """
    labels = images[column]
    if column == "patient_label":
        patients, matrix = patient_vectors(matrix, images)
        labels = patient_labels(images)[patients]
    names, means = group_means(matrix, labels)
    return names, means, labels.value_counts().reindex(names).to_numpy(dtype=np.int64)


def class_contrast(names: list[str], vectors: csr_matrix, one: str, other: str, *, top: int = 50) -> pd.DataFrame:
    """The concepts in which two classes differ most, as CytoSAE compares diseases: a_one − a_other.

    Returns
    -------
    `towards` (the class with the higher mean), `rank` (from 1), `concept`, `difference` (one − other): at most `top`
    concepts each way, those of `one` first; equal differences in order of concept.

    Raises
    ------
    InputError
        for an unknown class.
    """
    for name in (one, other):
        if name not in names:
            raise InputError(f"class '{name}' has no vector; the classes are {', '.join(names)}")
    difference = (vectors[names.index(one)] - vectors[names.index(other)]).toarray().ravel()
    parts = []
    for towards, gain in ((one, difference), (other, -difference)):
        best = np.argsort(-gain, kind="stable")[:top]
        best = best[gain[best] > 0]
        ranks = np.arange(1, len(best) + 1)
        parts.append(pd.DataFrame({"towards": towards, "rank": ranks, "concept": best, "difference": difference[best]}))
    return pd.concat(parts, ignore_index=True)


def from_top_values(values: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, csr_matrix]:
    """What a published table of top images tells of each image's activations: 0 where an image is not in a top list.

    Means of these rows are lower bounds of the true ones: a latent's activation is known in its top images alone.

    Parameters
    ----------
    values: (L,k) activations. images: (L,k) numbers of the images.

    Returns
    -------
    (M,) the images that occur with an activation above 0, sorted; (M,L) CSR float64.
    """
    latents, ranks = np.nonzero(values > 0)
    known, rows = np.unique(images[latents, ranks], return_inverse=True)
    data = values[latents, ranks].astype(np.float64)
    return known, csr_matrix((data, (rows, latents)), shape=(len(known), len(values)))
