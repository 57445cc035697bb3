"""Conformal sets: by hand, on exchangeable data, and calibrated by others only."""

import math

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, N_FOLDS, predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from histoweave.decide.conformal import conformal_scores, coverage, cross_sets, sets, threshold
from histoweave.evaluation.binomial import clopper_pearson

THREE = ["a", "b", "c"]


def test_by_hand():
    scores = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])  # nine: ⌈10 · 0.8⌉ = the eighth
    assert threshold(scores, 0.8) == 0.8
    assert threshold(scores, 0.9) == 0.9
    assert threshold(scores, 0.5) == 0.5
    assert threshold(scores, 0.91) == math.inf
    p = np.array([[0.75, 0.15, 0.10], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    np.testing.assert_array_equal(sets(p, scores, 0.8), [[1, 0, 0], [1, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(sets(p, scores, 0.5), [[1, 0, 0], [0, 0, 0], [0, 0, 1]])  # the second is empty
    assert sets(p, scores, 0.95).all() and sets(p, scores[:0], 0.5).all()


def test_nonsense_is_refused():
    for level in (0.0, 1.0, 90):
        with pytest.raises(ValueError, match="level"):
            threshold(np.array([0.1]), level)
    with pytest.raises(ValueError, match="not finite"):
        threshold(np.array([0.1, np.nan]), 0.5)


@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(0.05, 0.95), st.floats(0.0, 0.04))
@settings(max_examples=60, deadline=None)
def test_a_higher_level_never_takes_a_class_away(seed, m, level, more):
    rng = np.random.default_rng(seed)
    p, scores = rng.dirichlet(np.ones(3), size=10), rng.random(m)
    low, high = sets(p, scores, level), sets(p, scores, level + more)
    assert (low <= high).all()


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_exchangeable_patients_are_covered_as_stated(level):
    """Vovk: level ≤ P(covered) < level + 1 / (m + 1) without ties, on average over calibration sets."""
    rng = np.random.default_rng(4)
    m, n, draws = 40, 50, 400
    p = rng.dirichlet(np.ones(3), size=(draws, m + n))
    y = (p.cumsum(axis=2) < rng.random((draws, m + n, 1))).sum(axis=2)
    found = []
    for own, truth in zip(p, y, strict=True):
        scores = 1 - own[np.arange(m), truth[:m]]
        found.append(sets(own[m:], scores, level)[np.arange(n), truth[m:]].mean())
    error = np.std(found) / np.sqrt(draws)
    assert level - 3 * error <= np.mean(found) <= level + 1 / (m + 1) + 3 * error


@pytest.mark.parametrize("kind", ["marginal", "class"])
def test_nobody_calibrates_the_own_set(kind):
    table = predictions(classes=THREE).assign(model="m")
    before = cross_sets(table, THREE, [0.8]).query("kind == @kind")
    spoilt = table.copy()
    own = spoilt["fold"] == 0
    spoilt.loc[own, "y_true"] = "a"
    after = cross_sets(spoilt, THREE, [0.8]).query("kind == @kind")
    pick = before["fold"] == 0
    assert before.loc[pick, "set"].equals(after.loc[pick, "set"])
    assert not before.loc[~pick, "set"].equals(after.loc[~pick, "set"])


def test_a_fold_is_calibrated_by_all_other_folds_of_its_repeat():
    table = predictions(classes=THREE, repeats=2).assign(model="m")
    scores = conformal_scores(table, THREE)
    truth = pd.Index(THREE).get_indexer(table["y_true"])
    p = table[["p_a", "p_b", "p_c"]].to_numpy()
    np.testing.assert_allclose(scores["score"], 1 - p[np.arange(len(p)), truth])
    every = cross_sets(table, THREE, [0.5, 0.9])
    assert len(every) == 4 * len(table)
    found = every[every["kind"] == "marginal"]
    for repeat in range(2):
        for fold in range(N_FOLDS):
            rows = (table["repeat"] == repeat) & (table["fold"] == fold)
            others = scores.loc[(scores["repeat"] == repeat) & (scores["fold"] != fold), "score"].to_numpy()
            expected = ["; ".join(np.array(THREE)[row]) for row in sets(p[rows], others, 0.9)]
            own = found[(found["repeat"] == repeat) & (found["fold"] == fold) & (found["level"] == 0.9)]
            assert dict(zip(own["patient"], own["set"], strict=True)) == dict(
                zip(table.loc[rows, "patient"], expected, strict=True)
            )
    held = [row.y_true in row.set.split("; ") for row in found.itertuples()]
    assert (found["covered"] == held).all()
    assert (found["size"] == [len([c for c in row.split("; ") if c]) for row in found["set"]]).all()


@pytest.mark.parametrize(("k", "n"), [(0, 12), (12, 12), (9, 12), (50, 58)])
def test_the_interval_is_the_exact_binomial_one(k, n):
    expected = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(k, n, confidence=0.95) == pytest.approx((expected.low, expected.high))


def test_coverage_counts_patients():
    found = pd.DataFrame(
        {
            "model": "m", "level": 0.8, "patient": list("pqrs"), "y_true": ["neg", "neg", "pos", "pos"],
            "size": [1, 0, 2, 1], "covered": [True, False, True, True], "kind": "marginal",
        }
    )  # fmt: skip
    patients = pd.DataFrame({"patient": list("pqrs"), "site": ["x", "x", "y", None]})
    table = coverage(found, patients=patients, classes=CLASSES, confidence=0.95).set_index("scope")
    assert list(table.index) == ["pooled", "class:neg", "class:pos", "site:x", "site:y"]
    row = table.loc["pooled"]
    assert (row["coverage"], row["n"], row["singletons"], row["empty"], row["mean_set_size"]) == (0.75, 4, 2, 1, 1)
    assert table.loc["class:neg", "coverage"] == 0.5 and table.loc["site:y", "n"] == 1
    twice = pd.concat([found.assign(repeat=0), found.assign(repeat=1, covered=True)])
    row = coverage(twice, patients=patients, classes=CLASSES, confidence=0.95).set_index("scope").loc["pooled"]
    assert row["coverage"] == 0.875 and row["n"] == 4 and row["ci_low"] < 0.875 < row["ci_high"]
