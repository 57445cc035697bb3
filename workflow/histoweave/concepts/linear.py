"""L2 logistic regression on many columns and few rows, its penalty chosen on inner folds over patients.

Columns are standardised on the training rows and divided by the square root of their number, so that a row has mean
squared length 1 and one grid of penalties serves 50 columns as well as 50,000. The regression does not change under a
rotation of the columns, so with more columns than rows it is fitted in the row space: exact, and n columns are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.class_weight import compute_sample_weight

from histoweave.concepts.columns import Matrix, dense_blocks

INVERSE_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
INNER_FOLDS = 3
_ITERATIONS = 20000
_TOLERANCE = 1e-7
# Standard deviation relative to the largest value: what is less is rounding of a constant column.
_CONSTANT = 1e-6
_RANK = 1e-11


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted regression, its scaling folded in: logits = x · weight + bias.

    Attributes
    ----------
    weight: (F,C) float64. bias: (C,) float64; −inf for a class without training rows. inverse: the C that was chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    inverse: float

    def probabilities(self, matrix: Matrix) -> np.ndarray:
        """Class probabilities (n,C) float64 of rows (n,F)."""
        return softmax(matrix @ self.weight + self.bias, axis=1)


def fit(matrix: Matrix, codes: np.ndarray, groups: np.ndarray, *, n_classes: int, seed: int) -> Linear:
    """Choose the penalty on inner folds that keep groups whole, then fit all rows with it.

    The choice has the least log loss on held-out rows, classes weighted equally; of equals the strongest penalty. With
    a single group there is nothing to choose on: the middle of the grid.

    Parameters
    ----------
    matrix : (n,F) training rows. codes : (n,) int, classes 0 to `n_classes` − 1. groups : (n,) whose rows stay together.
    """
    n_inner = min(INNER_FOLDS, len(np.unique(groups)))
    if n_inner < 2:
        inverse = INVERSE_PENALTIES[len(INVERSE_PENALTIES) // 2]
    else:
        losses = _inner_losses(matrix, codes, groups, n_classes=n_classes, n_inner=n_inner, seed=seed)
        inverse = INVERSE_PENALTIES[int(np.argmin(losses))]
    return next(fit_path(matrix, codes, [inverse], n_classes=n_classes))


def _inner_losses(
    matrix: Matrix, codes: np.ndarray, groups: np.ndarray, *, n_classes: int, n_inner: int, seed: int
) -> np.ndarray:
    p = np.zeros((len(INVERSE_PENALTIES), len(codes)))  # of the true class
    splitter = StratifiedGroupKFold(n_inner, shuffle=True, random_state=seed)
    for train, test in splitter.split(codes, _enough(codes, n_inner), groups):
        models = fit_path(matrix[train], codes[train], INVERSE_PENALTIES, n_classes=n_classes)
        for row, model in enumerate(models):
            p[row, test] = model.probabilities(matrix[test])[np.arange(len(test)), codes[test]]
    # A class that an inner fold's training part lacks has p = 0 under every penalty.
    loss = -np.log(np.maximum(p, 1e-15))
    return np.average(loss, axis=1, weights=compute_sample_weight("balanced", codes))


def _enough(codes: np.ndarray, n_folds: int) -> np.ndarray:
    """The codes, with classes of fewer rows than folds joined to the largest: the splitter warns of those."""
    counts = np.bincount(codes)
    return np.where(counts[codes] >= n_folds, codes, counts.argmax())


def fit_path(matrix: Matrix, codes: np.ndarray, inverses: Sequence[float], *, n_classes: int) -> Iterator[Linear]:
    """Fit with each inverse penalty in turn (ascending: each starts from the one before)."""
    present = np.unique(codes)
    if len(present) == 1:
        bias = np.full(n_classes, -np.inf)
        bias[present] = 0.0
        for inverse in inverses:
            yield Linear(np.zeros((matrix.shape[1], n_classes)), bias, inverse)
        return
    mean, gain = _scaling(matrix)
    rows, back = _rotated(matrix, mean, gain)
    model = LogisticRegression(class_weight="balanced", max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    for inverse in inverses:
        model.set_params(C=inverse).fit(rows, codes)
        coefficients, bias = model.coef_, model.intercept_
        if len(present) == 2:  # logits 0 and z
            coefficients, bias = np.vstack([0 * coefficients, coefficients]), np.array([0.0, bias[0]])
        weight = np.zeros((matrix.shape[1], n_classes))
        weight[:, present] = gain[:, None] * back(coefficients.T)
        full_bias = np.full(n_classes, -np.inf)
        full_bias[present] = bias
        yield Linear(weight, full_bias - mean @ weight, inverse)


def _scaling(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean (F,) of the columns, and the factor (F,) that standardises them; 0 for columns that do not vary."""
    mean, deviation, largest = (np.zeros(matrix.shape[1]) for _ in range(3))
    for columns, block in dense_blocks(matrix):
        block = block.astype(np.float64)
        mean[columns], deviation[columns] = block.mean(axis=0), block.std(axis=0)
        largest[columns] = np.abs(block).max(axis=0)
    varies = deviation > _CONSTANT * largest
    gain = np.zeros_like(deviation)
    gain[varies] = 1 / (deviation[varies] * np.sqrt(varies.sum()))
    return mean, gain


def _rotated(
    matrix: Matrix, mean: np.ndarray, gain: np.ndarray
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The standardised rows X in as few columns as hold them, and the function that takes coefficients back.

    With fewer rows than columns: X Xᵀ = U S² Uᵀ, the rows are U S, and coefficients a (r,C) on them are Xᵀ U S⁻¹ a on X.
    """

    def scaled() -> Iterator[tuple[slice, np.ndarray]]:
        for columns, block in dense_blocks(matrix):
            yield columns, (block - mean[columns]) * gain[columns]

    if matrix.shape[0] >= matrix.shape[1]:
        return np.concatenate([block for _, block in scaled()], axis=1), lambda coefficients: coefficients
    values, vectors = np.linalg.eigh(sum(block @ block.T for _, block in scaled()))
    kept = values > _RANK * max(values[-1], 1.0)
    if not kept.any():  # no column varies
        return np.zeros((matrix.shape[0], 1)), lambda coefficients: np.zeros((matrix.shape[1], coefficients.shape[1]))
    singular, vectors = np.sqrt(values[kept]), vectors[:, kept]

    def back(coefficients: np.ndarray) -> np.ndarray:
        in_rows = (vectors / singular) @ coefficients
        return np.concatenate([block.T @ in_rows for _, block in scaled()])

    return vectors * singular, back
