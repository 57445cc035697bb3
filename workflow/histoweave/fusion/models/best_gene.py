"""Logistic regression on one gene: the one that ranks the classes of the training patients best."""

from __future__ import annotations

import numpy as np
import pandas as pd

from histoweave.fusion.models.linear import LinearExpression, logistic
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms

build = LinearExpression


def fit(task: Task) -> Fit:
    """The gene and its weights come from the training patients; validation patients have nothing to choose."""
    transforms = Transforms(None, task.fit_expression())
    module = task.build(transforms)
    train, _ = task.genes(transforms)
    fit_best_gene(module, *train)
    return Fit(transforms, module)


def auroc(ranks: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """AUROC of every column (G,) from its ranks over patients (n,G), equal values sharing theirs, and (n,) bool.

    The rank-sum form (Hanley and McNeil, Radiology 1982;143:29).
    """
    n = int(positive.sum())
    return (ranks[positive].sum(axis=0) - n * (n + 1) / 2) / (n * (len(positive) - n))


def gene_scores(genes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How well each gene ranks the classes (G,): mean over classes of |AUROC - 0.5|, one class against the rest.

    All genes at once by their ranks (Mann and Whitney 1947); rounded, so that genes which rank equally are equal.

    genes : (n,G). labels : (n,) of two classes or more.
    """
    ranks = pd.DataFrame(genes).rank().to_numpy()
    scores = [np.abs(auroc(ranks, labels == code) - 0.5) for code in np.unique(labels)]
    return np.mean(scores, axis=0).round(12)


def fit_best_gene(module: LinearExpression, genes: np.ndarray, labels: np.ndarray) -> None:
    """Logistic regression on the gene that ranks the training classes best, up or down.

    The score of a gene is that of `gene_scores`; the first of the best ones is taken.
    """
    best = int(np.argmax(gene_scores(genes, labels)))
    single, bias = logistic(genes[:, [best]], labels, inverse=1.0, n_classes=len(module.bias))
    weight = np.zeros(module.weight.shape)
    weight[:, best] = single[:, 0]
    module.set(weight, bias)
