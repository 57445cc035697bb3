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


# ---------------------------------------------------------------- clusters


def test_few_clusters_have_the_t_interval_of_their_means():
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(6), 10)
    values = rng.normal(size=60) + rng.normal(size=6)[clusters]
    estimate, drawn = bootstrap(mean_of(values), 60, draws=200_000, seed=1, clusters=clusters)
    low, high = interval(drawn, confidence=0.95)
    means = values.reshape(6, 10).mean(axis=1)
    expected = stats.t.interval(0.95, 5, means.mean(), means.std(ddof=1) / np.sqrt(6))
    np.testing.assert_allclose(estimate, means.mean())
    np.testing.assert_allclose([low[0], high[0]], expected, atol=0.02 * (expected[1] - expected[0]))


def test_differences_of_paired_draws_have_the_interval_of_the_differences():
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(8), 5)
    one = rng.normal(size=40) + 3 * rng.normal(size=8)[clusters]
    other = one + rng.normal(size=40)
    given = {"draws": 100_000, "seed": 2, "clusters": clusters}
    pair = [bootstrap(mean_of(values), 40, **given)[1] for values in (one, other)]
    low, high = interval(pair[1] - pair[0], confidence=0.9)
    means = (other - one).reshape(8, 5).mean(axis=1)
    expected = stats.t.interval(0.9, 7, means.mean(), means.std(ddof=1) / np.sqrt(8))
    np.testing.assert_allclose([low[0], high[0]], expected, atol=0.02 * (expected[1] - expected[0]))


def test_all_patients_of_a_drawn_cluster_come_along():
    clusters = np.arange(150) % 50
    seen = []

    def statistic(w):
        seen.append(w)
        return w.sum(axis=1, keepdims=True)

    bootstrap(statistic, 150, draws=50, seed=1, clusters=clusters)
    drawn = np.concatenate(seen[1:])
    assert (
        drawn.shape == (50, 150)
        and (drawn[:, :50] == drawn[:, 50:100]).all()
        and (drawn[:, :50].sum(axis=1) == 50).all()
    )
    expected = np.concatenate(list(weights(50, draws=50, seed=1)))
    assert (drawn[:, :50] == expected).all()


def test_two_clusters_and_a_cluster_without_which_nothing_is_defined_give_no_interval():
    values = np.arange(12.0)
    _, drawn = bootstrap(mean_of(values), 12, draws=50, seed=1, clusters=np.repeat([0, 1], 6))
    assert np.isnan(interval(drawn, confidence=0.95)).all()
    clusters = np.repeat([0, 1, 2, 3], 3)

    def of_first(w):  # undefined where the first cluster is not there
        return np.where(w[:, :1] > 0, 1.0, np.nan)

    _, drawn = bootstrap(of_first, 12, draws=50, seed=1, clusters=clusters)
    assert np.isnan(interval(drawn, confidence=0.95)).all()


def site_cohorts(rng, *, cohorts, sites=6, per_site=40, shift=1.0):
    """Scores that shift with the site and labels whose prevalence does: y, score, site."""
    site = np.repeat(np.arange(sites), per_site)
    for _ in range(cohorts):
        effect = rng.normal(size=sites)
        y = (rng.random(len(site)) < 1 / (1 + np.exp(-effect[site]))).astype(int)
        yield y, rng.normal(0.7 * y + shift * rng.normal(size=sites)[site], 1), site


def test_thirty_sites_are_few():
    """A plain bootstrap of so few sites is too narrow by √((G − 1) / G) and has no tails of Student's t."""
    clusters = np.repeat(np.arange(30), 4)
    values = np.random.default_rng(5).normal(size=120)
    estimate, drawn = bootstrap(mean_of(values), 120, draws=100_000, seed=1, clusters=clusters)
    means = values.reshape(30, 4).mean(axis=1)
    half = stats.t.ppf(0.975, 29) * means.std(ddof=1) / np.sqrt(30)
    low, high = interval(drawn, confidence=0.95)
    np.testing.assert_allclose([low[0], high[0]], [estimate[0] - half, estimate[0] + half], atol=0.01)


def test_intervals_over_six_sites_cover_and_those_over_patients_do_not():
    """Effects of sites on scores: the AUROC of infinitely many sites is in 95 % intervals over sites, and missed by far
    more of those over patients."""
    rng = np.random.default_rng(11)
    ((y, score, _),) = site_cohorts(rng, cohorts=1, sites=20_000, per_site=5)
    truth = METRICS["auroc"](y, np.column_stack([-score, score]), np.ones((1, len(y))))[0]
    covered = np.zeros(2)
    for number, (y, score, site) in enumerate(site_cohorts(rng, cohorts=200)):
        p = np.column_stack([-score, score])
        for kind, clusters in enumerate((site, None)):
            _, drawn = bootstrap(
                lambda w, y=y, p=p: METRICS["auroc"](y, p, w)[:, None],
                len(y),
                draws=500,
                seed=number,
                clusters=clusters,
            )
            low, high = interval(drawn, confidence=0.95)
            covered[kind] += low[0] <= truth <= high[0]
    assert covered[0] / 200 >= 0.88 and covered[1] / 200 <= 0.75, covered / 200
