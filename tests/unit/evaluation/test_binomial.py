"""Intervals of a share: of independent patients against scipy, of patients in clusters by their definition and by drawing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from histoweave.evaluation.binomial import clopper_pearson, korn_graubard


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95]))
def test_clopper_pearson_is_scipys(counts, confidence):
    found = binomtest(*counts).proportion_ci(confidence, method="exact")
    np.testing.assert_allclose(clopper_pearson(*counts, confidence=confidence), (found.low, found.high), atol=1e-9)


def test_clusters_by_hand():
    """Three sites of ten patients with 9, 5 and 4 successes: share 0.6, v = 3/2 · (9 + 1 + 4) / 900."""
    few = (t.isf(0.025, 29) / t.isf(0.025, 2)) ** 2
    effective = 0.24 / (1.5 * 14 / 900) * few
    expected = clopper_pearson(0.6 * effective, effective, confidence=0.95)
    found = korn_graubard(np.array([9, 5, 4]), np.array([10, 10, 10]), confidence=0.95)
    np.testing.assert_allclose(found, expected)
    # A site without such patients says nothing.
    np.testing.assert_allclose(korn_graubard(np.array([9, 0, 5, 4]), np.array([10, 0, 10, 10]), confidence=0.95), found)


def test_what_no_variance_between_sites_can_tell():
    assert korn_graubard(np.array([7]), np.array([9]), confidence=0.95) == (0, 1)
    every = korn_graubard(np.array([25, 25, 25]), np.array([25, 25, 25]), confidence=0.95)
    assert every == clopper_pearson(3, 3, confidence=0.95)
    equal = korn_graubard(np.array([5, 5, 5]), np.array([10, 10, 10]), confidence=0.95)
    np.testing.assert_allclose(equal, clopper_pearson(15, 30, confidence=0.95))


@given(
    st.lists(st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2, max_size=12)
)
def test_the_interval_holds_the_share_and_is_never_narrower_than_of_independent_patients(sites):
    k, n = np.array(sites).T
    low, high = korn_graubard(k, n, confidence=0.95)
    alone = clopper_pearson(k.sum(), n.sum(), confidence=0.95)
    assert 0 <= low <= k.sum() / n.sum() <= high <= 1
    assert low <= alone[0] + 1e-9 and high >= alone[1] - 1e-9


@pytest.mark.parametrize("sites", [6, 20])
def test_shares_that_differ_between_sites_are_held(sites):
    """Beta-binomial counts, 12 patients a site, of a true share of 0.75; patients taken for independent hold it less often."""
    rng = np.random.default_rng(0)
    shares, n = rng.beta(4.5, 1.5, (600, sites)), np.full(sites, 12)
    counts = rng.binomial(12, shares)
    held = [low <= 0.75 <= high for low, high in (korn_graubard(k, n, confidence=0.95) for k in counts)]
    alone = [low <= 0.75 <= high for low, high in (clopper_pearson(k.sum(), n.sum(), confidence=0.95) for k in counts)]
    assert np.mean(held) > 0.93 > 0.88 > np.mean(alone)
