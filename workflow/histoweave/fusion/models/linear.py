"""Logits linear in some values, and the logistic regression that fits them.

Fitted by scikit-learn and kept as a module of the common signature, so that all models are saved, loaded and used in one way.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from histoweave.fusion.layers import normal
from histoweave.fusion.models.base import Output, Shape
from histoweave.settings.fusion import Fusion

INVERSE_REGULARISATION = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_ITERATIONS = 5000


class Linear(nn.Module):
    """Logits linear in some values: logits = values · weightᵀ + bias."""

    def __init__(self, width: int, n_classes: int):
        super().__init__()
        self.weight = nn.Parameter(normal(n_classes, width))
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def set(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Take over fitted weights (C,width) and biases (C,)."""
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(weight))
            self.bias.copy_(torch.from_numpy(bias))


class LinearExpression(Linear):
    """Logits linear in the genes."""

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__(len(shape.gene_tokens), shape.n_classes)

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        return Output(genes @ self.weight.T + self.bias)


def logistic(values: np.ndarray, labels: np.ndarray, *, inverse: float, n_classes: int) -> tuple:
    """Weight (C,K) and bias (C,) of an L2-penalised logistic regression on values (n,K) and label codes (n,).

    A class without patients gets bias -inf.
    """
    from sklearn.linear_model import LogisticRegression

    codes, counts = np.unique(labels, return_counts=True)
    # The class weights of the neural models: halfway between none and "balanced".
    class_weight = dict(zip(codes, np.sqrt(len(labels) / (len(codes) * counts)), strict=True))
    model = LogisticRegression(C=inverse, class_weight=class_weight, max_iter=_ITERATIONS).fit(values, labels)
    weight, bias = np.zeros((n_classes, values.shape[1])), np.full(n_classes, -np.inf)
    if len(model.classes_) == 2:
        weight[model.classes_[1]], bias[model.classes_] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weight, bias


def fit_logistic(
    module: Linear,
    before_refit: Linear,
    *,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
) -> None:
    """Logistic regression on all values; its penalty is the one with the least log loss on validation patients.

    With that penalty it is then fitted on training and validation patients together; `before_refit` gets the weights
    that no label of a validation patient has moved.

    train, val : genes or mean tiles (n,width), and label codes (n,).
    """
    n_classes, best_loss, best = len(module.bias), np.inf, INVERSE_REGULARISATION[0]
    for inverse in INVERSE_REGULARISATION:
        weight, bias = logistic(*train, inverse=inverse, n_classes=n_classes)
        loss = validation_loss(val[0] @ weight.T + bias, val[1])
        if loss < best_loss:
            best_loss, best = loss, inverse
            before_refit.set(weight, bias)
    values, labels = (np.concatenate(parts) for parts in zip(train, val, strict=True))
    module.set(*logistic(values, labels, inverse=best, n_classes=n_classes))


def validation_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Log loss of logits (n,C) on label codes (n,)."""
    from sklearn.metrics import log_loss

    scores = torch.from_numpy(logits).softmax(-1).numpy()
    return log_loss(labels, scores, labels=np.arange(logits.shape[1]))
