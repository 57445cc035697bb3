"""AUROC of many concepts for the classes of one label, with errors that know which images share a patient.

Activations are sparse: only images that fire a concept are sorted; all others are one tie at zero, whose part in every
sum is known in closed form. So the cost follows the number of stored activations, not images × concepts.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix
from scipy.special import ndtr

_VALUES_AT_ONCE = 1 << 20  # stored activations × classes


@dataclass(frozen=True)
class Aurocs:
    """Each of L concepts as a score for each of K classes against the rest; (L,K) float64, NaN where undefined."""

    auroc: np.ndarray
    se: np.ndarray
    p: np.ndarray


@dataclass(frozen=True)
class _Design:
    """Who has which class. `counts`: (C,K) images of each patient and class."""

    counts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """(C,) images of each patient."""
        return self.counts.sum(axis=1)

    @property
    def positives(self) -> np.ndarray:
        """(K,) images of each class."""
        return self.counts.sum(axis=0)

    @property
    def negatives(self) -> np.ndarray:
        """(K,) images of all other classes."""
        return self.positives.sum() - self.positives

    @property
    def others(self) -> np.ndarray:
        """(C,K) images of each patient in all other classes."""
        return self.sizes[:, None] - self.counts


def aurocs(activations: csr_matrix, classes: np.ndarray, patients: np.ndarray) -> Aurocs:
    """One class against the rest, for every class and every concept.

    Parameters
    ----------
    activations: (N,L) ≥ 0. classes: (N,) codes 0…K−1, each with at least one image, K ≥ 2. patients: (N,) codes.

    Notes
    -----
    AUROC is P(positive > negative) + ½ P(equal). Its standard error is that of clustered data (Obuchowski 1997,
    Biometrics 53:567), which is DeLong's where every patient has one image; NaN where the positives, or the negatives,
    come from one patient only.

    The p-value is two-sided, from the normal approximation of the Mann–Whitney test with the tie correction and without
    continuity correction. Images of a patient are not independent (for rank sums of clusters see Rosner, Glynn and Lee
    2003, Biometrics 59:1089): the variance under the null hypothesis is multiplied by Kish's design effect of the ranks,
    s (1 + ρ (Σ_c W_c² − Σ_i w_i²) / Σ_i w_i²), never taken below 1. ρ ≥ 0 is the intraclass correlation of the ranks
    within patients (one-way analysis of variance), w_i = 1/m for a positive and −1/n for a negative, W_c their sum over
    the images of patient c, and s = (N − 1) / (N − 1 − ρ (Σ_c N_c² / N − 1)) makes up for the ranks' variance being
    estimated from images that are alike. It is 1 where every patient has one image. Where all images of a patient are
    alike, the p-value is that of the patients, however many images each has. NaN with a single patient.
    """
    _, classes = np.unique(classes, return_inverse=True)
    order = np.argsort(patients, kind="stable")  # the images of a patient lie together
    patients = np.unique(patients[order], return_inverse=True)[1]
    classes = classes[order]
    counts = np.zeros((patients[-1] + 1, classes.max() + 1))
    np.add.at(counts, (patients, classes), 1)
    design = _Design(counts)
    columns = activations[order].astype(np.float64).tocsc()
    columns.eliminate_zeros()
    columns.sort_indices()
    parts = [_of_columns(columns[:, slice(*at)], classes, patients, design) for at in _chunks(columns, counts.shape[1])]
    return Aurocs(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _chunks(columns: csc_matrix, n_classes: int) -> list[tuple[int, int]]:
    """Neighbouring columns with about `_VALUES_AT_ONCE` stored values × classes together."""
    chunk = columns.indptr[:-1].astype(np.int64) * n_classes // _VALUES_AT_ONCE
    starts = np.flatnonzero(np.diff(chunk, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), columns.shape[1]], strict=True))


def _sums(groups: np.ndarray, n_groups: int, values: np.ndarray) -> np.ndarray:
    """Sum of the rows of `values` (n,·) in each of the groups."""
    return csr_matrix((np.ones(len(groups)), (groups, np.arange(len(groups)))), shape=(n_groups, len(groups))) @ values


def _of_columns(columns: csc_matrix, classes: np.ndarray, patients: np.ndarray, design: _Design) -> tuple:
    """AUROC, its standard error and its p-value of some concepts (n,K)."""
    n_columns, m, n = columns.shape[1], design.positives, design.negatives
    column = np.repeat(np.arange(n_columns), np.diff(columns.indptr))
    own = classes[columns.indices]
    below, zeros = _below(columns, column, own, m)
    entry = np.arange(len(own))
    all_below, all_zeros = below.sum(axis=1), zeros.sum(axis=1, keepdims=True)

    # placements: of a positive among the negatives, of a negative among the positives; `_zero` where nothing fires
    positive = (all_below - below[entry, own]) / n[own]
    positive_zero = (all_zeros - zeros) / 2 / n
    negative = 1 - below / m
    negative_zero = 1 - zeros / 2 / m
    in_class = np.zeros_like(below)
    in_class[entry, own] = positive
    auroc = (_sums(column, n_columns, in_class) + zeros * positive_zero) / m

    in_class[entry, own] -= positive_zero[column, own]
    negative -= negative_zero[column]
    negative[entry, own] = 0
    patient = patients[columns.indices]
    group, at = np.unique(column * len(design.sizes) + patient, return_inverse=True)
    in_class, negative = (_sums(at, len(group), values) for values in (in_class, negative))
    group_column, group_patient = np.divmod(group, len(design.sizes))

    def sums(values: np.ndarray) -> np.ndarray:
        return _sums(group_column, n_columns, values)

    counts, others = design.counts[group_patient], design.others[group_patient]
    a, b = positive_zero - auroc, negative_zero - auroc
    # Σ over patients of A², B² and AB, where A = in_class + a · counts and B = negative + b · others
    aa = sums(in_class**2) + 2 * a * sums(in_class * counts) + a**2 * (design.counts**2).sum(axis=0)
    bb = sums(negative**2) + 2 * b * sums(negative * others) + b**2 * (design.others**2).sum(axis=0)
    ab = sums(in_class * negative) + b * sums(in_class * others) + a * sums(negative * counts)
    ab += a * b * (design.counts * design.others).sum(axis=0)
    variance = _unbiased(design.counts) * aa / m**2 + _unbiased(design.others) * bb / n**2
    variance += 2 * _unbiased(design.sizes) * ab / (m * n)
    se = np.sqrt(np.maximum(variance, 0))
    return auroc, se, _p_values(auroc, all_below, all_zeros.ravel(), column, group, at, design)


def _below(columns: csc_matrix, column: np.ndarray, own: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of each class below each stored value, equal ones half, (n stored, K); images without one (n columns, K)."""
    order = _ascending(columns)
    values = columns.data[order]
    new = np.append(True, (np.diff(values) != 0) | (np.diff(column) != 0))[: len(values)]
    first = np.flatnonzero(new)
    tie = np.cumsum(new) - 1
    last = np.append(first[1:], len(values))
    running = np.zeros((len(values) + 1, len(m)))
    running[np.arange(1, len(values) + 1), own[order]] = 1
    np.cumsum(running, axis=0, out=running)
    start, stop = running[columns.indptr[:-1]], running[columns.indptr[1:]]
    zeros = m - (stop - start)
    below = np.empty((len(values), len(m)))
    below[order] = ((running[first] + running[last]) / 2)[tie] + (zeros - start)[column]
    return below, zeros


def _ascending(columns: csc_matrix) -> np.ndarray:
    """Places of the stored values (n,), column after column, ascending in each; column by column is faster than all."""
    order = np.empty(columns.nnz, dtype=np.int64)
    for start, stop in itertools.pairwise(columns.indptr.tolist()):
        np.add(np.argsort(columns.data[start:stop]), start, out=order[start:stop])
    return order


def _unbiased(images: np.ndarray) -> np.ndarray:
    """I / (I − 1), I the patients with any of the images; NaN with one patient."""
    patients = (images > 0).sum(axis=0).astype(float)
    return np.divide(patients, patients - 1, out=np.full(patients.shape, np.nan), where=patients > 1)


def _p_values(
    auroc: np.ndarray,
    all_below: np.ndarray,
    all_zeros: np.ndarray,
    column: np.ndarray,
    group: np.ndarray,
    at: np.ndarray,
    design: _Design,
) -> np.ndarray:
    """Mann–Whitney with the design effect of the patients (n,K); see `aurocs`."""
    n_columns, sizes, m, n = len(auroc), design.sizes, design.positives, design.negatives
    total, n_patients = sizes.sum(), len(sizes)
    zero = (all_zeros - total) / 2  # the rank of an image that does not fire, less the mean rank
    centred = all_below - total / 2
    sum_squares = np.bincount(column, weights=centred**2, minlength=n_columns) + all_zeros * zero**2
    shift = np.bincount(at, weights=centred - zero[column], minlength=len(group))
    group_column, group_patient = np.divmod(group, n_patients)
    between = np.bincount(group_column, weights=shift**2 / sizes[group_patient], minlength=n_columns)
    between = between + 2 * zero * np.bincount(group_column, weights=shift, minlength=n_columns) + total * zero**2
    rho = _intraclass_correlation(sum_squares, between, sizes)
    own = 1 / m + 1 / n
    together = ((design.counts / m - design.others / n) ** 2).sum(axis=0)
    spread = (total - 1) / (total - 1 - rho * ((sizes**2).sum() / total - 1))
    effect = np.maximum(spread[:, None] * (1 + rho[:, None] * (together - own) / own), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (auroc - 0.5) / np.sqrt(sum_squares[:, None] / (total * (total - 1) * m * n) * effect)
    return np.where(n_patients > 1, 2 * ndtr(-np.abs(z)), np.nan)


def _intraclass_correlation(sum_squares: np.ndarray, between: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of ranks within patients, one-way analysis of variance with unequal sizes, in [0, 1]; 0 with one image each."""
    total, n_patients = sizes.sum(), len(sizes)
    if n_patients in (1, total):
        return np.zeros(len(between))
    mean_size = (total - (sizes**2).sum() / total) / (n_patients - 1)
    between_ms = between / (n_patients - 1)
    within_ms = np.maximum(sum_squares - between, 0) / (total - n_patients)
    scale = between_ms + (mean_size - 1) * within_ms
    rho = np.divide(between_ms - within_ms, scale, out=np.zeros(len(between)), where=scale > 0)
    return np.clip(rho, 0, 1)
