"""Nearest centroid by Spearman's correlation over genes, as PAM50 calls subtypes (Parker et al., J Clin Oncol 2009;27:1160).

A patient's genes are centred on the training median, so that they are deviations from the usual patient. The correlation r_c
with the centroid of class c is turned into probabilities by softmax(slope · r): a multinomial logistic regression with one
coefficient and no intercept, so the most probable class is always that of the nearest centroid.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor, nn

from histoweave.fusion.centroids import check_genes, read_centroids
from histoweave.fusion.layers import normal
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms
from histoweave.settings.fusion import Fusion

LEAST_SLOPE, MOST_SLOPE = 1.0, 100.0
_SPREAD_OF_SLOPE = 10.0


class Centroid(nn.Module):
    """Logits: slope times Spearman's correlation of a patient's genes with each class's centroid."""

    centroids: Tensor
    slope: Tensor
    bias: Tensor

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        self.register_buffer("centroids", normal(shape.n_classes, len(shape.gene_tokens)))
        self.register_buffer("slope", torch.tensor(LEAST_SLOPE))
        self.register_buffer("bias", torch.zeros(shape.n_classes))

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        correlation = _standardised(_ranks(genes)) @ _standardised(_ranks(self.centroids)).T
        return Output((self.slope * correlation).to(genes.dtype) + self.bias)

    def set(self, centroids: np.ndarray, slope: float, absent: np.ndarray) -> None:
        """Take over centroids (C,G), the slope, and which classes have none (C,): those are ruled out."""
        with torch.no_grad():
            self.centroids.copy_(torch.from_numpy(centroids))
            self.slope.fill_(slope)
            self.bias.copy_(torch.from_numpy(np.where(absent, -np.inf, 0.0)))


build = Centroid


def fit(task: Task) -> Fit:
    """Centroids of the training patients, or of the table `fusion.centroids`.

    Raises
    ------
    InputError
        if that table cannot be used.
    """
    given = None
    if task.settings.centroids is not None:
        given = read_centroids(task.settings.centroids, task.classes)
        check_genes(given, task.expression.columns, path=task.settings.centroids)
    expression = task.fit_expression(wanted=None if given is None else given.index)
    transforms = Transforms(None, expression)
    module = task.build(transforms)
    (genes, labels), _ = task.genes(transforms)
    rows = None if given is None else given.loc[expression.kept_genes].to_numpy().T
    fit_centroid(module, genes, labels, given=rows)
    return Fit(transforms, module, record={"centroids": "training patients" if given is None else "file"})


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 1 within each row, (B,G) float64; equal values share the mean of their ranks."""
    ordered = values.sort(dim=-1).values.contiguous()
    before, upto = (torch.searchsorted(ordered, values.contiguous(), right=right) for right in (False, True))
    return (before + upto + 1).double() / 2


def _standardised(ranks: Tensor) -> Tensor:
    """Rows of mean 0 and length 1; a constant row is 0, so its correlation with anything is 0."""
    centred = ranks - ranks.mean(dim=-1, keepdim=True)
    length = centred.norm(dim=-1, keepdim=True)
    return centred / torch.where(length > 0, length, 1.0)


def class_means(genes: np.ndarray, labels: np.ndarray, *, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each class's patients (C,G), zeros for a class without, and how many they are (C,)."""
    member = np.eye(n_classes)[labels]
    counts = member.sum(axis=0)
    return member.T @ genes / np.maximum(counts, 1)[:, None], counts


def correlations(genes: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Spearman's correlation of patients (n,G) with centroids (C,G): (n,C)."""
    rows, columns = (_ranks(torch.from_numpy(part)) for part in (genes, centroids))
    return (_standardised(rows) @ _standardised(columns).T).numpy()


def held_out_correlations(genes: np.ndarray, labels: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Correlations (n,C) in which no patient is part of the centroid of the own class; NaN where nobody else is."""
    centroids, counts = class_means(genes, labels, n_classes=n_classes)
    found = correlations(genes, centroids)
    for row, code in enumerate(labels):
        if counts[code] == 1:
            found[row, code] = np.nan
        else:
            others = (counts[code] * centroids[code] - genes[row]) / (counts[code] - 1)
            found[row, code] = correlations(genes[[row]], others[None])[0, 0]
    found[:, counts == 0] = -np.inf
    return found


def fit_slope(found: np.ndarray, labels: np.ndarray) -> float:
    """The slope of the greatest likelihood of labels (n,) given correlations (n,C), with a penalty.

    The penalty is that of a normal prior with mean 0 and standard deviation 10 (as scikit-learn's `C=100`), so that
    classes which the centroids tell apart without error do not ask for an infinite slope. It is at least 1: where the
    centroids tell nothing, probabilities are nearly equal and the order of the patients is kept. Patients without a
    correlation (NaN) do not count.
    """
    from scipy.optimize import minimize_scalar

    known = ~np.isnan(found).any(axis=1)
    found, labels = found[known], labels[known]
    finite = np.where(np.isfinite(found), found, -1e9)
    own = finite[np.arange(len(labels)), labels]

    def cost(slope: float) -> float:
        likelihood = (slope * own - logsumexp(slope * finite, axis=1)).sum()
        return 0.5 * (slope / _SPREAD_OF_SLOPE) ** 2 - likelihood

    return float(minimize_scalar(cost, bounds=(LEAST_SLOPE, MOST_SLOPE), method="bounded", options={"xatol": 1e-6}).x)


def fit_centroid(module: Centroid, genes: np.ndarray, labels: np.ndarray, *, given: np.ndarray | None) -> None:
    """Class means of the training patients, or given centroids, and the slope fitted on the training patients.

    For the slope a patient is left out of the own centroid; otherwise it would be too steep.

    Parameters
    ----------
    genes : (n,G), centred. labels : (n,) codes.
    given : (C,G) centroids of a file, or None.
    """
    n_classes = len(module.bias)
    genes = genes.astype(np.float64)
    if given is not None:
        module.set(given, fit_slope(correlations(genes, given), labels), np.zeros(n_classes, dtype=bool))
        return
    centroids, counts = class_means(genes, labels, n_classes=n_classes)
    slope = fit_slope(held_out_correlations(genes, labels, n_classes=n_classes), labels)
    module.set(centroids, slope, counts == 0)
