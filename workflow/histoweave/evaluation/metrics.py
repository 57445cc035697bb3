"""Metrics of class probabilities, vectorised over bootstrap draws.

Every metric takes `y` (n,) int class codes, `p` (n, C) float probabilities and `w` (B, n) float weights, one
row of patient multiplicities per draw (ones for the point estimate), and returns (B,) float64; the metrics of
`CLASS_METRICS` return (B, C), one column per class against the rest. A value that is undefined is NaN:
discrimination with one true class, precision of a class never called, anything without weight. The called
class is the most probable one, the first of them in a tie. With two classes the positive one is the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

N_BINS = 10

Function = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined, NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(float))


def weighted_mean(values: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean of `values` (n,) under each row of `w`; einsum sums in an order that no thread count changes."""
    return _ratio(np.einsum("bn,n->b", w, values), w.sum(axis=1))


def confusion(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Weighted confusion matrices (B, C, C): axis 1 the true class, axis 2 the called class."""
    n_classes = p.shape[1]
    cell = y * n_classes + p.argmax(axis=1)
    return (w @ np.eye(n_classes**2)[cell]).reshape(len(w), n_classes, n_classes)


def accuracy(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Share of patients called right."""
    return weighted_mean((p.argmax(axis=1) == y).astype(float), w)


def class_recall(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """TP / (TP + FN) of each class (B, C)."""
    matrix = confusion(y, p, w)
    return _ratio(np.einsum("bcc->bc", matrix), matrix.sum(axis=2))


def class_precision(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """TP / (TP + FP) of each class (B, C)."""
    matrix = confusion(y, p, w)
    return _ratio(np.einsum("bcc->bc", matrix), matrix.sum(axis=1))


def class_f1(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) of each class (B, C); NaN for a class neither true nor called."""
    matrix = confusion(y, p, w)
    return _ratio(2 * np.einsum("bcc->bc", matrix), matrix.sum(axis=1) + matrix.sum(axis=2))


def balanced_accuracy(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean recall of the classes present in the truth; NaN with fewer than two."""
    recall = class_recall(y, p, w)
    several = (~np.isnan(recall)).sum(axis=1) > 1
    return np.where(several, _mean_defined(recall), np.nan)


def f1_macro(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes present in the truth or among the calls."""
    return _mean_defined(class_f1(y, p, w))


def f1_weighted(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes, weighted by how often each is true."""
    support = confusion(y, p, w).sum(axis=2)
    return _ratio((np.nan_to_num(class_f1(y, p, w)) * support).sum(axis=1), support.sum(axis=1))


def mcc(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Matthews correlation, multi-class form R_K (Gorodkin 2004, Comput Biol Chem 28:367).

    (c s − Σ_k t_k q_k) / √((s² − Σ_k q_k²)(s² − Σ_k t_k²)), with s the total, c the trace, t_k how often
    class k is true and q_k how often it is called. 0 by convention if every call is the same, NaN with one
    true class.
    """
    matrix = confusion(y, p, w)
    total, right = matrix.sum(axis=(1, 2)), np.einsum("bcc->b", matrix)
    true, called = matrix.sum(axis=2), matrix.sum(axis=1)
    covariance = right * total - (true * called).sum(axis=1)
    one_call = (called > 0).sum(axis=1) == 1
    one_class = (true > 0).sum(axis=1) < 2
    spread = np.sqrt(total**2 - (called**2).sum(axis=1)) * np.sqrt(total**2 - (true**2).sum(axis=1))
    correlation = np.where(one_call, 0.0, _ratio(covariance, np.where(one_call, 1.0, spread)))
    return np.where(one_class, np.nan, correlation)


def _sweep(score: np.ndarray, positive: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives (B, T) at each distinct score as threshold, from the highest down."""
    order = np.argsort(-score, kind="stable")
    descending, positive = score[order], positive[order]
    last_of_tie = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    w = w[:, order]
    true, false = (np.cumsum(w * side, axis=1)[:, last_of_tie] for side in (positive, ~positive))
    return true, false


def concordance(score: np.ndarray, positive: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight of the pairs (positive, negative) that `score` puts in the right order, ties counted half, and of all
    pairs: each (B,). `score` (n,) float, `positive` (n,) bool."""
    tp, fp = _sweep(score, positive, w)
    new_fp, new_tp = np.diff(fp, axis=1, prepend=0), np.diff(tp, axis=1, prepend=0)
    return (new_fp * (tp - new_tp / 2)).sum(axis=1), tp[:, -1] * fp[:, -1]


def _binary_auroc(score: np.ndarray, positive: np.ndarray, w: np.ndarray) -> np.ndarray:
    """P(score of a positive > of a negative) + ½ P(equal): the Mann–Whitney form, ties counted half."""
    return _ratio(*concordance(score, positive, w))


def _binary_average_precision(score: np.ndarray, positive: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Σ_t (R_t − R_{t−1}) P_t over the distinct scores t: a step sum, never the optimistic trapezoid."""
    tp, fp = _sweep(score, positive, w)
    steps = np.diff(tp, axis=1, prepend=0) * np.nan_to_num(_ratio(tp, tp + fp))
    one_class = (tp[:, -1] == 0) | (fp[:, -1] == 0)
    return np.where(one_class, np.nan, _ratio(steps.sum(axis=1), tp[:, -1]))


def _each_class(binary: Function, y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.stack([binary(p[:, c], y == c, w) for c in range(p.shape[1])], axis=1)


def class_auroc(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """AUROC of each class against the rest (B, C)."""
    return _each_class(_binary_auroc, y, p, w)


def class_average_precision(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Average precision of each class against the rest (B, C)."""
    return _each_class(_binary_average_precision, y, p, w)


def auroc(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """AUROC of the positive class; with more than two the mean of those present, each against the rest."""
    return _binary_auroc(p[:, 1], y == 1, w) if p.shape[1] == 2 else _mean_defined(class_auroc(y, p, w))


def average_precision(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Average precision of the positive class; with more than two the mean, as in `auroc`."""
    if p.shape[1] == 2:
        return _binary_average_precision(p[:, 1], y == 1, w)
    return _mean_defined(class_average_precision(y, p, w))


def confidence_bin(p: np.ndarray) -> np.ndarray:
    """Bin (n,) of each patient's top-class probability: bin b holds (b/10, (b+1)/10]."""
    edges = np.linspace(0, 1, N_BINS + 1)
    return np.searchsorted(edges[1:-1], p.max(axis=1), side="left")


def ece(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Expected calibration error, 10 equal-width bins of the top-class probability (Guo et al. 2017, ICML).

    Σ_b (w_b / w) |accuracy_b − confidence_b| = Σ_b |Σ_{i in b} w_i (right_i − confidence_i)| / w.
    """
    gap = (p.argmax(axis=1) == y) - p.max(axis=1)
    in_bin = np.eye(N_BINS)[confidence_bin(p)]
    return _ratio(np.abs(np.einsum("bn,nk->bk", w, in_bin * gap[:, None])).sum(axis=1), w.sum(axis=1))


def brier(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean squared error of the probabilities (Brier 1950).

    Two classes: (p − y)² of the positive one, in [0, 1]. More: Σ_c (p_c − [y = c])², in [0, 2].
    """
    squares = (p - np.eye(p.shape[1])[y]) ** 2
    return weighted_mean(squares[:, 1] if p.shape[1] == 2 else squares.sum(axis=1), w)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric, for whoever computes, shows or names it. A new one is one entry of `METRICS`.

    Attributes
    ----------
    name : in tables and JSON. title : as a heading. words : in a sentence.
    function : (y, p, w) → (B,), see above; of a metric of classes (B, C).
    higher_is_better : False for errors.
    ranks : whether it looks at the order of patients only.
    compared : whether models are compared by it, pair by pair.
    least, most : possible values; `most_of_many` with more than two classes, where that differs.
    """

    name: str
    title: str
    words: str
    function: Function
    higher_is_better: bool = True
    ranks: bool = False
    compared: bool = False
    least: float = 0.0
    most: float = 1.0
    most_of_many: float | None = None

    def __call__(self, y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self.function(y, p, w)

    def range(self, n_classes: int) -> tuple[float, float]:
        """Least and largest possible value."""
        return self.least, self.most if n_classes == 2 or self.most_of_many is None else self.most_of_many


def _by_name(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS = _by_name(
    Metric(name="accuracy", title="Accuracy", words="accuracy", function=accuracy, compared=True),
    Metric(
        name="balanced_accuracy",
        title="Balanced accuracy",
        words="balanced accuracy",
        function=balanced_accuracy,
        compared=True,
    ),
    Metric(name="f1_macro", title="F1 (macro)", words="macro F1", function=f1_macro, compared=True),
    Metric(name="f1_weighted", title="F1 (weighted)", words="weighted F1", function=f1_weighted),
    Metric(name="auroc", title="AUROC", words="AUROC", function=auroc, ranks=True, compared=True),
    Metric(
        name="average_precision",
        title="Average precision",
        words="average precision",
        function=average_precision,
        ranks=True,
        compared=True,
    ),
    Metric(name="mcc", title="MCC", words="Matthews correlation", function=mcc, least=-1.0),
    Metric(name="ece", title="ECE", words="calibration error", function=ece, higher_is_better=False),
    Metric(name="brier", title="Brier", words="Brier score", function=brier, higher_is_better=False, most_of_many=2.0),
)

# Of each class against the rest.
CLASS_METRICS = _by_name(
    Metric(name="auroc", title="AUROC", words="AUROC", function=class_auroc, ranks=True),
    Metric(
        name="average_precision",
        title="Average precision",
        words="average precision",
        function=class_average_precision,
        ranks=True,
    ),
    Metric(name="f1", title="F1", words="F1", function=class_f1),
    Metric(name="precision", title="Precision", words="precision", function=class_precision),
    Metric(name="recall", title="Recall", words="recall", function=class_recall),
)
# As pages and comparisons show them: those that look at the order of patients first.
SHOWN = tuple(sorted(METRICS, key=lambda name: not METRICS[name].ranks))
TITLES = {name: metric.title for name, metric in (METRICS | CLASS_METRICS).items()}
# The direction of all metrics of a table, in a sentence.
DIRECTIONS = (
    " and ".join(metric.title for metric in METRICS.values() if not metric.higher_is_better)
    + " are better when smaller, everything else when larger."
)
WORDS = {name: metric.words for name, metric in (METRICS | CLASS_METRICS).items()}
