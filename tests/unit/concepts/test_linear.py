"""The logistic regression: equal to scikit-learn's on all columns, in the row space or not; the penalty on whole groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from histoweave.concepts import linear
from histoweave.concepts.columns import column_auroc


def problem(n, n_columns, n_classes, *, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % n_classes
    matrix = rng.exponential(size=(n, n_columns)) * (rng.random((n, n_columns)) < 0.2)
    matrix[np.arange(n), codes] += signal
    return matrix, codes


@pytest.mark.parametrize("n, n_columns", [(60, 300), (120, 20)])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("inverse", [0.1, 10.0, 1000.0])
def test_equal_to_the_plain_solver(n, n_columns, n_classes, inverse):
    matrix, codes = problem(n, n_columns, n_classes)
    train, test = np.arange(n) % 3 > 0, np.arange(n) % 3 == 0
    scaler = StandardScaler().fit(matrix[train])
    x = scaler.transform(matrix) / np.sqrt((matrix[train].std(axis=0) > 0).sum())
    reference = LogisticRegression(C=inverse, class_weight="balanced", max_iter=50_000, tol=1e-10)
    expected = reference.fit(x[train], codes[train]).predict_proba(x[test])
    for kind in (np.asarray, csr_matrix):
        rows = kind(matrix)
        model = next(linear.fit_path(rows[train], codes[train], [inverse], n_classes=n_classes))
        np.testing.assert_allclose(model.probabilities(rows[test]), expected, atol=1e-4)


def test_a_path_ends_where_a_cold_start_does():
    matrix, codes = problem(80, 200, 3)
    path = list(linear.fit_path(matrix, codes, [0.1, 10.0, 100.0], n_classes=3))
    for model in path:
        cold = next(linear.fit_path(matrix, codes, [model.inverse], n_classes=3))
        np.testing.assert_allclose(model.probabilities(matrix), cold.probabilities(matrix), atol=1e-4)


def test_columns_that_do_not_vary_weigh_nothing():
    matrix, codes = problem(40, 100, 2)
    matrix[:, 5], matrix[:, 6] = 0.0, 0.1
    model = next(linear.fit_path(matrix.astype(np.float32), codes, [1.0], n_classes=2))
    assert (model.weight[[5, 6]] == 0).all()
    garbage = matrix.copy()
    garbage[:, [5, 6]] = 1e6
    np.testing.assert_allclose(model.probabilities(garbage), model.probabilities(matrix), atol=1e-9)
    flat = next(linear.fit_path(np.ones((40, 50)), codes, [1.0], n_classes=2))
    np.testing.assert_allclose(flat.probabilities(np.ones((3, 50))), 0.5)
    flat = next(linear.fit_path(np.ones((40, 5)), codes, [1.0], n_classes=2))
    np.testing.assert_allclose(flat.probabilities(np.ones((3, 5))), 0.5)


def test_classes_without_training_rows_get_probability_zero():
    matrix, codes = problem(30, 10, 2)
    model = linear.fit(matrix, codes * 2, np.arange(30), n_classes=4, seed=0)
    p = model.probabilities(matrix)
    assert (p[:, [1, 3]] == 0).all() and np.allclose(p.sum(axis=1), 1)
    alone = linear.fit(matrix, np.full(30, 2), np.arange(30), n_classes=3, seed=0)
    assert (alone.probabilities(matrix) == [0, 0, 1]).all()


def test_the_penalty_follows_the_data():
    matrix, codes = problem(90, 20, 3, signal=4.0)
    clear = linear.fit(matrix, codes, np.arange(90), n_classes=3, seed=0)
    noise = linear.fit(matrix, np.random.default_rng(1).permutation(codes), np.arange(90), n_classes=3, seed=0)
    assert clear.inverse >= 100 and noise.inverse <= 1
    one_group = linear.fit(matrix, codes, np.zeros(90), n_classes=3, seed=0)
    assert one_group.inverse in linear.INVERSE_PENALTIES


def test_the_penalty_is_chosen_on_whole_groups():
    """Rows are near copies within a patient, whose label is drawn at random: with patients split, no penalty would be
    chosen, because copies give the label away."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(24), 6)
    matrix = rng.normal(size=(24, 60))[patient] + 0.01 * rng.normal(size=(144, 60))
    codes = np.repeat(rng.permutation(np.arange(24) % 2), 6)
    assert linear.fit(matrix, codes, patient, n_classes=2, seed=0).inverse <= 1
    assert linear.fit(matrix, codes, np.arange(144), n_classes=2, seed=0).inverse >= 100


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(4, 40), sparse=st.booleans())
def test_column_auroc_is_scikit_learns(seed, n, sparse):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 4, size=(n, 6)).astype(np.float32)
    positive = rng.random((n, 3)) < [0.5, 0.2, 0.0]
    found = column_auroc(csr_matrix(matrix) if sparse else matrix - 2, positive)
    for k in range(3):
        for column in range(6):
            if 0 < positive[:, k].sum() < n:
                assert found[column, k] == pytest.approx(roc_auc_score(positive[:, k], matrix[:, column]), abs=1e-12)
            else:
                assert np.isnan(found[column, k])
