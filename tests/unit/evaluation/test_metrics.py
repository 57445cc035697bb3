"""Metrics against scikit-learn, closed forms and a plain loop."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from histoweave.evaluation.metrics import CLASS_METRICS, METRICS, confusion

PRECISE = {"rtol": 0, "atol": 1e-12}


@st.composite
def scored(draw, classes=(2, 3, 5)):
    """y (n,), p (n, C) on a coarse grid (so with ties) and w (3, n) of small counts, zeros among them."""
    n_classes = draw(st.sampled_from(classes))
    n = draw(st.integers(3, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = draw(st.sampled_from([1, 2, 4, 64]))
    p = rng.integers(0, coarse + 1, size=(n, n_classes)) + 1e-3
    w = rng.integers(0, draw(st.integers(2, 4)), size=(3, n)).astype(float)
    if draw(st.booleans()):
        w *= rng.uniform(0.1, 3, size=w.shape)
    w[:, 0] += 1  # a draw without any weight is a case of its own
    return rng.integers(n_classes, size=n), p / p.sum(axis=1, keepdims=True), w


def several_classes(y, w):
    return all(len(np.unique(y[row > 0])) > 1 for row in w)


@settings(deadline=None, derandomize=True)
@given(scored())
def test_call_metrics_equal_scikit_learn(case):
    y, p, w = case
    assume(several_classes(y, w))
    called, labels = p.argmax(axis=1), list(range(p.shape[1]))
    for row, value in enumerate(zip(*(METRICS[name](y, p, w) for name in list(METRICS)[:4]), strict=True)):
        f1 = {"sample_weight": w[row], "labels": labels, "zero_division": np.nan}
        expected = (
            reference.accuracy_score(y, called, sample_weight=w[row]),
            reference.recall_score(y, called, average="macro", **f1),
            reference.f1_score(y, called, average="macro", **f1),
            reference.f1_score(y, called, average="weighted", **f1 | {"zero_division": 0}),
        )
        np.testing.assert_allclose(value, expected, **PRECISE)


@settings(deadline=None, derandomize=True)
@given(scored())
def test_balanced_accuracy_and_mcc_equal_scikit_learn(case):
    y, p, w = case
    assume(several_classes(y, w))
    called = p.argmax(axis=1)
    for row in range(len(w)):
        drawn = w[row] > 0
        given_rows = {"sample_weight": w[row][drawn]}
        expected = reference.balanced_accuracy_score(y[drawn], called[drawn], **given_rows)
        np.testing.assert_allclose(METRICS["balanced_accuracy"](y, p, w)[row], expected, **PRECISE)
        expected = reference.matthews_corrcoef(y[drawn], called[drawn], **given_rows)
        np.testing.assert_allclose(METRICS["mcc"](y, p, w)[row], expected, **PRECISE)


@settings(deadline=None, derandomize=True)
@given(scored())
def test_confusion_equals_scikit_learn(case):
    y, p, w = case
    for row, matrix in zip(w, confusion(y, p, w), strict=True):
        expected = reference.confusion_matrix(y, p.argmax(axis=1), labels=range(p.shape[1]), sample_weight=row)
        np.testing.assert_allclose(matrix, expected, **PRECISE)


@settings(deadline=None, derandomize=True)
@given(scored())
def test_class_calls_equal_scikit_learn(case):
    y, p, w = case
    for name in ("precision", "recall", "f1"):
        score = getattr(reference, f"{name}_score")
        for row, value in zip(w, CLASS_METRICS[name](y, p, w), strict=True):
            expected = score(
                y,
                p.argmax(axis=1),
                average=None,
                labels=range(p.shape[1]),
                sample_weight=row,
                zero_division=np.nan,
            )
            np.testing.assert_allclose(value, expected, **PRECISE)


@settings(deadline=None, derandomize=True)
@given(scored())
def test_ranking_metrics_equal_scikit_learn(case):
    y, p, w = case
    auroc, precision = CLASS_METRICS["auroc"](y, p, w), CLASS_METRICS["average_precision"](y, p, w)
    for row, c in np.ndindex(auroc.shape):
        positive = y == c
        if len(np.unique(positive[w[row] > 0])) < 2:
            assert math.isnan(auroc[row, c]) and math.isnan(precision[row, c])
            continue
        expected = reference.roc_auc_score(positive, p[:, c], sample_weight=w[row])
        np.testing.assert_allclose(auroc[row, c], expected, **PRECISE)
        expected = reference.average_precision_score(positive, p[:, c], sample_weight=w[row])
        np.testing.assert_allclose(precision[row, c], expected, **PRECISE)


@settings(deadline=None, derandomize=True)
@given(scored(classes=(3, 5)))
def test_macro_auroc_equals_scikit_learn(case):
    y, p, w = case
    labels = np.arange(p.shape[1])
    for row in w:
        if set(y[row > 0]) == set(labels):
            expected = reference.roc_auc_score(y, p, sample_weight=row, multi_class="ovr", labels=labels)
            np.testing.assert_allclose(METRICS["auroc"](y, p, row[None])[0], expected, **PRECISE)


def test_macro_ranking_leaves_absent_classes_out():
    rng = np.random.default_rng(0)
    y, p, w = rng.integers(2, size=30), rng.dirichlet([1, 1, 1], size=30), np.ones((1, 30))
    for name in ("auroc", "average_precision"):
        present = CLASS_METRICS[name](y, p, w)[0, :2]
        assert METRICS[name](y, p, w)[0] == pytest.approx(present.mean(), abs=1e-15)


def test_binary_ranking_is_of_the_last_class():
    rng = np.random.default_rng(1)
    y, w = rng.integers(2, size=40), np.ones((1, 40))
    p = rng.dirichlet([1, 1], size=40)
    expected = reference.average_precision_score(y, p[:, 1])
    assert METRICS["average_precision"](y, p, w)[0] == pytest.approx(expected, abs=1e-12)
    assert METRICS["average_precision"](1 - y, p, w)[0] != pytest.approx(expected, abs=1e-3)


@settings(deadline=None, derandomize=True)
@given(scored())
def test_ece_and_brier_equal_a_plain_loop(case):
    y, p, w = case
    n_classes = p.shape[1]
    for row, ece, brier in zip(w, METRICS["ece"](y, p, w), METRICS["brier"](y, p, w), strict=True):
        gap, squares = 0.0, 0.0
        for b in range(10):
            inside = [i for i in range(len(y)) if b / 10 < max(p[i]) <= (b + 1) / 10]
            weight = sum(row[i] for i in inside)
            if weight:
                right = sum(row[i] * (np.argmax(p[i]) == y[i]) for i in inside) / weight
                confidence = sum(row[i] * max(p[i]) for i in inside) / weight
                gap += weight / sum(row) * abs(right - confidence)
        for i in range(len(y)):
            if n_classes == 2:
                squares += row[i] * (p[i, 1] - y[i]) ** 2
            else:
                squares += row[i] * sum((p[i, c] - (y[i] == c)) ** 2 for c in range(n_classes))
        assert ece == pytest.approx(gap, abs=1e-12)
        assert brier == pytest.approx(squares / sum(row), abs=1e-12)


def test_brier_equals_scikit_learn():
    rng = np.random.default_rng(2)
    for n_classes in (2, 4):
        y, p, w = rng.integers(n_classes, size=50), rng.dirichlet(np.ones(n_classes), 50), rng.random((1, 50))
        score = p[:, 1] if n_classes == 2 else p
        expected = reference.brier_score_loss(y, score, sample_weight=w[0], labels=range(n_classes))
        assert METRICS["brier"](y, p, w)[0] == pytest.approx(expected, abs=1e-12)


def test_closed_forms():
    # Scores .1 .4 .35 .8 with labels 0 0 1 1: three of four pairs in order; AP = 1/2 · 1 + 1/2 · 2/3.
    positive = np.array([0.1, 0.4, 0.35, 0.8])
    y, p, w = np.array([0, 0, 1, 1]), np.column_stack([1 - positive, positive]), np.ones((1, 4))
    values = {name: metric(y, p, w)[0] for name, metric in METRICS.items()}
    assert values["auroc"] == 0.75
    assert values["average_precision"] == pytest.approx(5 / 6)
    assert values["accuracy"] == values["balanced_accuracy"] == 0.75
    assert values["f1_macro"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert values["mcc"] == pytest.approx(1 / math.sqrt(3))
    assert values["brier"] == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)
    # Top-class probabilities .9 .6 .65 .8 lie in four bins; only .65 is wrong.
    assert values["ece"] == pytest.approx((0.1 + 0.4 + 0.65 + 0.2) / 4)


def test_constant_predictions():
    rng = np.random.default_rng(3)
    y, w = np.append(rng.integers(2, size=38), [0, 1]), rng.multinomial(40, np.full(40, 1 / 40), size=50)
    p, w = np.tile([0.7, 0.3], (40, 1)), w.astype(float)
    assert (METRICS["auroc"](y, p, w) == 0.5).all()
    assert (METRICS["balanced_accuracy"](y, p, w) == 0.5).all()
    assert (METRICS["mcc"](y, p, w) == 0).all()
    prevalence = (w * y).sum(axis=1) / w.sum(axis=1)
    np.testing.assert_allclose(METRICS["average_precision"](y, p, w), prevalence, **PRECISE)


def test_one_true_class_leaves_discrimination_undefined():
    y, w = np.zeros(5, int), np.ones((2, 5))
    for p in (np.random.default_rng(4).dirichlet([1, 1], 5), np.tile([0.9, 0.1], (5, 1))):
        for name, metric in METRICS.items():
            undefined = name in ("auroc", "average_precision", "balanced_accuracy", "mcc")
            assert np.isnan(metric(y, p, w)).all() == undefined, name


def test_without_weight_everything_is_undefined():
    y, p, w = np.array([0, 1, 1]), np.full((3, 2), 0.5), np.zeros((1, 3))
    assert all(np.isnan(metric(y, p, w)).all() for metric in [*METRICS.values(), *CLASS_METRICS.values()])


@settings(deadline=None, derandomize=True)
@given(scored())
def test_a_weight_is_a_number_of_copies(case):
    y, p, w = case
    counts = np.round(w).astype(int)
    assume(several_classes(y, counts))
    for metric in METRICS.values():
        for row, value in zip(counts, metric(y, p, counts.astype(float)), strict=True):
            copies = np.repeat(np.arange(len(y)), row)
            expected = metric(y[copies], p[copies], np.ones((1, len(copies))))
            np.testing.assert_allclose(value, expected[0], **PRECISE)
