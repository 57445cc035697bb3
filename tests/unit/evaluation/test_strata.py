"""AUROC over pairs within strata: against brute force, against the plain AUROC, and its intervals at the edges."""

import numpy as np
import pytest
from confounding_data import SETTINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from histoweave.evaluation.metrics import auroc
from histoweave.evaluation.strata import LEAST_PAIRS, Part, answer, disjoint_pairs, rank_auroc, stratified_auroc


def brute_force(y, score, stratum, w):
    """Every pair of patients of one stratum, one by one."""
    values = []
    for c in [1] if score.shape[1] == 2 else range(score.shape[1]):
        won = total = 0.0
        for i in np.flatnonzero(y == c):
            for j in np.flatnonzero(y != c):
                if stratum[i] == stratum[j]:
                    total += w[i] * w[j]
                    won += w[i] * w[j] * ((score[i, c] > score[j, c]) + 0.5 * (score[i, c] == score[j, c]))
        if total > 0:
            values.append(won / total)
    return np.mean(values) if values else np.nan


@st.composite
def compared(draw):
    n, n_classes, n_strata = draw(st.integers(1, 14)), draw(st.integers(2, 4)), draw(st.integers(1, 4))
    whole = lambda high, size: np.array(draw(st.lists(st.integers(0, high), min_size=size, max_size=size)))  # noqa: E731
    score = whole(5, n * n_classes).reshape(n, n_classes).astype(float)
    return whole(n_classes - 1, n), score, whole(n_strata - 1, n), whole(3, n).astype(float)


@given(compared())
@settings(deadline=None)
def test_it_is_the_share_of_pairs_within_strata(case):
    y, score, stratum, w = case
    found = stratified_auroc(y, score, stratum, np.stack([w, np.ones(len(y))]))
    expected = [brute_force(y, score, stratum, weights) for weights in (w, np.ones(len(y)))]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(rank_auroc(y[None], score[None], stratum), expected[1:], atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_one_stratum_is_the_plain_auroc(n_classes):
    rng = np.random.default_rng(0)
    y, p = rng.integers(n_classes, size=80), rng.dirichlet(np.ones(n_classes), size=80)
    w = rng.integers(0, 3, size=(4, 80)).astype(float)
    np.testing.assert_allclose(stratified_auroc(y, p, np.zeros(80, int), w), auroc(y, p, w))
    plain = roc_auc_score(y, p[:, 1] if n_classes == 2 else p, multi_class="ovr")
    assert stratified_auroc(y, p, np.zeros(80, int), np.ones((1, 80)))[0] == pytest.approx(plain)


def part(y, score, stratum=None):
    y, score = np.asarray(y), np.asarray(score, float)
    stratum = np.zeros(len(y), int) if stratum is None else np.asarray(stratum)
    return Part(np.arange(len(y)), y, np.column_stack([-score, score]), stratum)


def ask(one, **more):
    return answer([one], len(one.y), settings=SETTINGS, seed=1, **more)


def test_perfect_order_has_the_bound_of_pairs_that_share_nobody():
    y = np.repeat([0, 1], [30, 12])
    found = ask(part(y, y))
    assert (found.estimate, found.ci_high) == (1.0, 1.0) and found.ci_low == pytest.approx(0.025 ** (1 / 12))
    worst = ask(part(y, -y))
    assert (worst.estimate, worst.ci_low) == (0.0, 0.0) and worst.ci_high == pytest.approx(1 - 0.025 ** (1 / 12))


def test_constant_scores_have_no_interval():
    found = ask(part([0, 1] * 20, np.zeros(40)))
    assert found.estimate == 0.5 and np.isnan([found.ci_low, found.ci_high]).all() and "same score" in found.reason


def test_few_pairs_have_no_interval_and_no_pairs_no_estimate():
    y, stratum = np.array([0, 1] * 12), np.repeat(np.arange(12), 2)
    assert disjoint_pairs(part(y, y, stratum)) == 12
    one_sided = part(np.repeat([0, 1], 12), np.arange(24), np.repeat([0, 1], 12))
    nothing = ask(one_sided, nothing="no pairs")
    assert np.isnan(nothing.estimate) and nothing.reason == "no pairs"
    few = ask(part([1] * (LEAST_PAIRS - 1) + [0] * 30, np.random.default_rng(1).normal(size=34)))
    assert np.isfinite(few.estimate) and np.isnan(few.ci_low) and "fewer than 5 pairs" in few.reason


def test_the_interval_excludes_chance_only_if_permutations_do():
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 40)
    one = part(y, rng.normal(size=80) + y)
    assert ask(one).ci_low > 0.5
    assert ask(one, null=np.full(399, 0.99)).ci_low == 0.5
    assert ask(one, null=np.full(399, 0.5)).ci_low == ask(one).ci_low
