"""Scores of patients by what was learned of other patients: the label from a column, a column from measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

MAX_COMPONENTS = 16
N_FOLDS = 5
_PATIENTS_PER_COMPONENT = 5
_MAX_FEATURES = 2000
_PSEUDO_PATIENTS = 1.0
_SHRINKAGE = 0.1
_TINY = 1e-9
_CHUNK_CELLS = 2_000_000


def own_folds(labels: np.ndarray, *, seed: int) -> np.ndarray:
    """Folds (n,) of patients, balanced over `labels` (n,): each label's patients in a random order, dealt out in turn."""
    order = np.lexsort((np.random.default_rng([seed, 0xF0]).random(len(labels)), labels))
    fold = np.empty(len(labels), dtype=np.int64)
    fold[order] = np.arange(len(labels)) % N_FOLDS
    return fold


def patient_folds(
    folds: pd.DataFrame, patients: pd.Index, *, labels: np.ndarray, by_patient: bool, seed: int
) -> np.ndarray:
    """The test fold (n,) int64 of each patient: of the run's first repeat where it splits by patient, else `own_folds`.

    A site that was not seen in training says nothing of the label, so folds of whole sites are of no use here.
    """
    if not by_patient:
        return own_folds(labels, seed=seed)
    test = folds[(folds["repeat"] == folds["repeat"].min()) & (folds["role"] == "test")]
    return test.set_index("patient")["fold"].reindex(patients).to_numpy(np.int64)


def label_scores(y: np.ndarray, *, level: np.ndarray, fold: np.ndarray, n_classes: int, n_levels: int) -> np.ndarray:
    """Share of each class among the training patients of the same level: (B, n, C) float64.

    A level's share is drawn to that of all training patients as by one more patient, so that a level of few patients
    says little, and one that training does not have says nothing.

    Parameters
    ----------
    y : (B, n) int, classes, one row per assignment. level, fold : (n,) int.
    """
    scores = np.empty((*y.shape, n_classes))
    of_level, of_class = np.eye(n_levels)[level], np.eye(n_classes)
    for one in np.unique(fold):
        test, train = fold == one, fold != one
        known = of_class[y[:, train]]
        overall = known.mean(axis=1, keepdims=True)
        counts = np.matmul(of_level[train].T, known)
        size = of_level[train].sum(axis=0)[:, None]
        shares = (counts + _PSEUDO_PATIENTS * overall) / (size + _PSEUDO_PATIENTS)
        scores[:, test] = shares[:, level[test]]
    return scores


@dataclass(frozen=True)
class Fold:
    """One fold's patients: positions (m,) and (t,), and what is known of them (m, k) and (t, k) float64."""

    train: np.ndarray
    test: np.ndarray
    x_train: np.ndarray
    x_test: np.ndarray


def prepare(features: np.ndarray, *, label: np.ndarray, fold: np.ndarray) -> list[Fold]:
    """Standardise, take out each class's mean and reduce to at most 16 components, fitted on training patients.

    Without the class means a class cannot stand in for a level that has more patients of it.

    Parameters
    ----------
    features : (n, D) float, NaN where not measured. label, fold : (n,) int.
    """
    prepared = []
    for one in np.unique(fold):
        train, test = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        x_train, x_test = _standardised(features[train], features[test])
        for c in np.unique(label[train]):
            mean = x_train[label[train] == c].mean(axis=0)
            x_train[label[train] == c] -= mean
            x_test[label[test] == c] -= mean
        k = min(MAX_COMPONENTS, max(1, len(train) // _PATIENTS_PER_COMPONENT))
        if x_train.shape[1] > k:
            axes = np.linalg.svd(x_train, full_matrices=False)[2][:k].T
            x_train, x_test = x_train @ axes, x_test @ axes
        prepared.append(Fold(train, test, x_train, x_test))
    return prepared


def _standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features that vary most, in training standard deviations; what was not measured is the mean."""
    measured = ~np.isnan(train)
    n = np.maximum(measured.sum(axis=0), 1)
    mean = np.where(measured, train, 0.0).sum(axis=0) / n
    sd = np.sqrt((np.where(measured, train - mean, 0.0) ** 2).sum(axis=0) / n)
    most = np.sort(np.argsort(-sd, kind="stable")[:_MAX_FEATURES])
    scale = np.where(sd > _TINY, sd, 1.0)[most]
    return tuple(np.nan_to_num((x[:, most] - mean[most]) / scale, nan=0.0) for x in (train, test))


def column_scores(y: np.ndarray, *, prepared: list[Fold], n_levels: int) -> np.ndarray:
    """Log probability of each level by a linear discriminant of the other folds' patients: (B, n, L) float64.

    Normal with one covariance for all levels: the log-linear form of multinomial logistic regression (Efron 1975, JASA
    70:892), in closed form, so that many permutations can be fitted. The covariance is drawn to its diagonal by a tenth.

    Parameters
    ----------
    y : (B, n) int, levels, one row per assignment.
    """
    scores = np.empty((*y.shape, n_levels))
    for one in prepared:
        known = np.eye(n_levels)[y[:, one.train]]
        size = known.sum(axis=1)
        means = np.matmul(known.transpose(0, 2, 1), one.x_train) / np.maximum(size, 1)[:, :, None]
        between = np.matmul((means * size[:, :, None]).transpose(0, 2, 1), means)
        within = one.x_train.T @ one.x_train - between
        covariance = within / max(len(one.train) - n_levels, 1)
        diagonal = np.einsum("bkk->bk", covariance)[:, :, None] * np.eye(covariance.shape[1])
        covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal + _TINY * np.eye(covariance.shape[1])
        weights = np.linalg.solve(covariance, means.transpose(0, 2, 1))
        offset = -0.5 * np.einsum("blk,bkl->bl", means, weights)
        with np.errstate(divide="ignore"):
            offset = offset + np.log(size / len(one.train))
        values = np.matmul(one.x_test, weights) + offset[:, None, :]
        highest = values.max(axis=2, keepdims=True)
        total = highest + np.log(np.exp(values - highest).sum(axis=2, keepdims=True))
        scores[:, one.test] = values - total
    return scores


def permuted(
    values: np.ndarray, *, within: np.ndarray, permutations: int, width: int, seed: int
) -> Iterator[np.ndarray]:
    """Yield `values` (n,) permuted among patients of the same `within` (n,), in chunks (b, n) that add up.

    width : numbers that are held per patient and permutation.
    """
    rng = np.random.default_rng([seed, 0x9E])
    chunk = max(1, _CHUNK_CELLS // (len(values) * width))
    for start in range(0, permutations, chunk):
        drawn = np.tile(values, (min(chunk, permutations - start), 1))
        for one in np.unique(within):
            of = np.flatnonzero(within == one)
            drawn[:, of] = rng.permuted(drawn[:, of], axis=1)
        yield drawn


def null_values(statistic: Callable[[np.ndarray], np.ndarray], chunks: Iterator[np.ndarray]) -> np.ndarray:
    """`statistic` (b, n) → (b,) of every permutation."""
    return np.concatenate([statistic(chunk) for chunk in chunks])
