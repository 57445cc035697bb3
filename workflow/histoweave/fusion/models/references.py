"""Models that are not trained in epochs: majority, one gene, logistic regression, and the mean of two others.

Each is fitted by scikit-learn and kept as a module of the common signature, so that all models are saved, loaded and
used in one way.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn

from histoweave.config import Fusion
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.models.ensemble import Ensemble
from histoweave.fusion.models.expression import Expression
from histoweave.fusion.models.image import Image

INVERSE_REGULARISATION = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_ITERATIONS = 5000


class LinearExpression(nn.Module):
    """Logits linear in the genes: logits = genes · weightᵀ + bias."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape.n_classes, len(shape.gene_tokens)))
        self.bias = nn.Parameter(torch.zeros(shape.n_classes))

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        return Output(genes @ self.weight.T + self.bias)

    def set(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Take over fitted weights (C,G) and biases (C,)."""
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(weight))
            self.bias.copy_(torch.from_numpy(bias))


class LateMean(nn.Module):
    """Mean of the probabilities of the image and the expression model; the one alone where the other is missing."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        self.image = Ensemble(Image, shape, settings)
        self.expression = Ensemble(Expression, shape, settings)

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        # A patient without image has no tile to pool; its dummy tile gets weight 0 below.
        first = torch.arange(tiles.shape[1], device=tiles.device) == 0
        tile_mask = torch.where(has_image[:, None], tile_mask, first)
        arguments = (tiles, tile_mask, genes, has_image, has_expression)
        probabilities = torch.stack([model(*arguments).logits.softmax(-1) for model in (self.image, self.expression)])
        weights = torch.stack([has_image, has_expression]).to(probabilities.dtype).unsqueeze(-1)
        return Output(((weights * probabilities).sum(0) / weights.sum(0)).log())


def fit_majority(module: LinearExpression, labels: np.ndarray) -> None:
    """Certainty for the most frequent training class (scikit-learn's `DummyClassifier`)."""
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(labels), 1)), labels)
    bias = np.full(len(module.bias), -np.inf)
    bias[dummy.predict([[0.0]])[0]] = 0.0
    module.set(np.zeros(module.weight.shape), bias)


def _logistic(genes: np.ndarray, labels: np.ndarray, *, inverse: float, n_classes: int) -> tuple:
    """Weight (C,G) and bias (C,) of an L2-penalised logistic regression; a class without patients gets bias -inf."""
    codes, counts = np.unique(labels, return_counts=True)
    # The class weights of the neural models: halfway between none and "balanced".
    class_weight = dict(zip(codes, np.sqrt(len(labels) / (len(codes) * counts)), strict=True))
    model = LogisticRegression(C=inverse, class_weight=class_weight, max_iter=_ITERATIONS).fit(genes, labels)
    weight, bias = np.zeros((n_classes, genes.shape[1])), np.full(n_classes, -np.inf)
    if len(model.classes_) == 2:
        weight[model.classes_[1]], bias[model.classes_] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weight, bias


def fit_best_gene(module: LinearExpression, genes: np.ndarray, labels: np.ndarray) -> None:
    """Logistic regression on the gene that ranks the training classes best, up or down.

    The score of a gene is the mean over classes of max(AUROC, 1 - AUROC), one class against the rest.
    """
    present = np.unique(labels)
    scores = [np.mean([abs(roc_auc_score(labels == code, column) - 0.5) for code in present]) for column in genes.T]
    best = int(np.argmax(scores))
    single, bias = _logistic(genes[:, [best]], labels, inverse=1.0, n_classes=len(module.bias))
    weight = np.zeros(module.weight.shape)
    weight[:, best] = single[:, 0]
    module.set(weight, bias)


def fit_logistic(
    module: LinearExpression,
    before_refit: LinearExpression,
    *,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
) -> None:
    """Logistic regression on all kept genes; its penalty is the one with the least log loss on validation patients.

    With that penalty it is then fitted on training and validation patients together; `before_refit` gets the weights
    that no label of a validation patient has moved.

    train, val : genes (n,G) and label codes (n,).
    """
    n_classes, best_loss, best = len(module.bias), np.inf, INVERSE_REGULARISATION[0]
    for inverse in INVERSE_REGULARISATION:
        weight, bias = _logistic(*train, inverse=inverse, n_classes=n_classes)
        scores = torch.from_numpy(val[0] @ weight.T + bias).softmax(-1).numpy()
        loss = log_loss(val[1], scores, labels=np.arange(n_classes))
        if loss < best_loss:
            best_loss, best = loss, inverse
            before_refit.set(weight, bias)
    genes, labels = (np.concatenate(parts) for parts in zip(train, val, strict=True))
    module.set(*_logistic(genes, labels, inverse=best, n_classes=n_classes))
