"""Draws, intervals and their coverage."""

import numpy as np
from scipy import stats

from histoweave.evaluation.bootstrap import bootstrap, interval, weights
from histoweave.evaluation.metrics import METRICS


def mean_of(values):
    return lambda w: (w @ values / w.sum(axis=1))[:, None]


def test_draws_are_whole_samples_of_the_patients_in_bounded_chunks():
    chunks = list(weights(1000, draws=2000, seed=3))
    assert len(chunks) > 1 and max(chunk.size for chunk in chunks) <= 250_000
    drawn = np.concatenate(chunks)
    assert drawn.shape == (2000, 1000)
    assert (drawn.sum(axis=1) == 1000).all()
    assert abs(drawn.mean(axis=0) - 1).max() < 0.15
    assert abs(drawn.var() - (1 - 1 / 1000)) < 0.01


def test_draws_depend_on_seed_and_number_alone():
    first, again, other = (np.concatenate(list(weights(40, draws=100, seed=s))) for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_interval_of_a_mean_is_that_of_the_normal_theory():
    values = np.random.default_rng(0).normal(size=400)
    estimate, drawn = bootstrap(mean_of(values), 400, draws=4000, seed=1)
    low, high = interval(drawn, confidence=0.9)
    half = stats.norm.ppf(0.95) * values.std() / np.sqrt(400)
    np.testing.assert_allclose(estimate, values.mean(), atol=1e-12)
    np.testing.assert_allclose([low[0], high[0]], [values.mean() - half, values.mean() + half], atol=0.01)


def test_coverage_of_the_auroc_interval():
    """Binormal scores one unit apart: AUROC = Φ(1/√2). Nominal 90 %, within about 5 standard errors."""
    truth, covered = stats.norm.cdf(1 / np.sqrt(2)), 0
    rng = np.random.default_rng(5)
    for cohort in range(200):
        y = np.repeat([0, 1], 40)
        score = stats.norm.cdf(rng.normal(y, 1))
        p = np.column_stack([1 - score, score])
        _, drawn = bootstrap(lambda w, y=y, p=p: METRICS["auroc"](y, p, w)[:, None], 80, draws=400, seed=cohort)
        low, high = interval(drawn, confidence=0.9)
        covered += low[0] <= truth <= high[0]
    assert 0.79 <= covered / 200 <= 0.98


def test_undefined_draws_are_left_out_until_they_are_a_fifth():
    values = np.tile(np.arange(100.0)[:, None], 2)
    values[:20, 0] = values[:21, 1] = np.nan
    low, high = interval(values, confidence=0.95)
    np.testing.assert_allclose([low[0], high[0]], np.quantile(np.arange(20, 100), [0.025, 0.975]))
    assert np.isnan([low[1], high[1]]).all()


def test_few_patients_get_an_estimate_but_no_interval():
    estimate, drawn = bootstrap(mean_of(np.arange(9.0)), 9, draws=50, seed=1)
    assert estimate == [4.0]
    assert np.isnan(interval(drawn, confidence=0.95)).all()
    assert not np.isnan(bootstrap(mean_of(np.arange(10.0)), 10, draws=50, seed=1)[1]).any()
