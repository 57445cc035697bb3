"""The learning curve: nested patients, refits that are the full fit at the whole, and the power law."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, SETTINGS, predictions
from fusion_cohort import FAST, TILE_ARGUMENTS, make_cohort, tile_files, tiles_of_fold
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from histoweave.decide import power_law
from histoweave.decide.learning_curve import SCORED, learning, with_full
from histoweave.decide.learning_fold import learning_fold
from histoweave.decide.subsets import nested, priorities
from histoweave.errors import InputError
from histoweave.evaluation.sample import Sample
from histoweave.fusion import fusion_fold as module
from histoweave.storage.files import read_table

SIZES = np.array([12.0, 24.0, 36.0, 48.0])
TITLES = {"m": "the model"}


# ---------------------------------------------------------------- who is in a subset


@given(st.integers(0, 1000), st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.integers(4, 60))
@settings(max_examples=50, deadline=None)
def test_subsets_are_nested_and_keep_the_classes(seed, one, other, n):
    patients = [f"P{i:02d}" for i in range(n)]
    codes = np.random.default_rng(seed).integers(3, size=n)
    priority = priorities(patients, seed=seed, k=0)
    small, large = (set(nested(patients, codes, priority, share)) for share in sorted((one, other)))
    assert small <= large
    for code in np.unique(codes):
        total = (codes == code).sum()
        kept = sum(codes[patients.index(patient)] == code for patient in large)
        assert kept == max(1, int(max(one, other) * total + 0.5))


def test_models_of_other_modalities_learn_from_the_same_patients():
    patients = [f"P{i:02d}" for i in range(40)]
    priority, codes = priorities(patients, seed=1, k=2), np.zeros(40, dtype=int)
    everybody = nested(patients, codes, priority, 0.5)
    some = nested(patients[:36], codes[:36], priority, 0.5)
    assert len(set(some) & set(everybody)) >= 16
    assert everybody == nested(patients, codes, priorities(patients[::-1], seed=1, k=2), 0.5)
    assert everybody != nested(patients, codes, priorities(patients, seed=1, k=3), 0.5)


# ---------------------------------------------------------------- one fold


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("learning"), seed=4, n=48, n_features=12, n_genes=60, n_folds=3)


def refit(cohort, model, shares, **changes):
    arguments = {
        "patients": cohort.patients, "folds": cohort.folds, "slides": cohort.slides, "expression": cohort.expression,
        "classes": cohort.classes, "settings": FAST, "seed": 1, "device": "cpu",
    }  # fmt: skip
    given = arguments | changes
    with tempfile.TemporaryDirectory() as folder:
        tiles = tile_files(Path(folder), **{name: given[name] for name in TILE_ARGUMENTS}, settings=FAST)
        return learning_fold(model=model, k=1, shares=shares, **tiles_of_fold(tiles, model, 1), **given)


@pytest.mark.parametrize("model", ["logistic_expression", "cross_attention"])
def test_the_whole_gives_the_predictions_of_the_full_fit(cohort, tmp_path, model):
    found = refit(cohort, model, [0.999, 0.25])
    full = read_table(cohort.run(model, 1, tmp_path / model) / "predictions.parquet")
    test = full[full["role"] == "test"].reset_index(drop=True)
    whole = found[found["share"] == 0.999].reset_index(drop=True)
    pd.testing.assert_frame_equal(whole[list(test)], test, check_exact=True)
    assert (whole["n_fit"] == (full["role"] != "test").sum()).all()
    small = found[found["share"] == 0.25]
    assert list(small["patient"]) == list(whole["patient"]) and (small["n_fit"] < whole["n_fit"].iloc[0] / 3).all()
    assert not np.allclose(small.filter(regex="^p_"), whole.filter(regex="^p_"))


def test_fits_see_nested_training_and_validation_patients_only(cohort, monkeypatch):
    seen = []

    def spy(model, **given):
        seen.append({role: given[f"{role}_patients"] for role in ("train", "val")})
        return fit(model, **given)

    fit = module.fit
    monkeypatch.setattr(module, "fit", spy)
    refit(cohort, "majority", [0.75, 0.25, 0.5])
    roles = cohort.folds[cohort.folds["fold"] == 1].set_index("patient")["role"]
    for role in ("train", "val"):
        members = [set(sets[role].ids) for sets in seen]
        assert members[0] < members[1] < members[2] < set(roles.index[roles == role])
        for sets in seen:
            assert set(sets[role].codes) == {0, 1}
            assert set(sets[role].expression.index) == set(sets[role].slides["patient"]) == set(sets[role].ids)


def test_a_model_made_of_others_is_refused(cohort):
    with pytest.raises(InputError, match=r"late_mean.*combines other models"):
        refit(cohort, "late_mean", [0.5])


# ---------------------------------------------------------------- the power law


@pytest.mark.parametrize(("a", "b", "c"), [(0.95, 2.0, 0.9), (1.0, 0.8, 0.3), (0.8, 40.0, 2.0)])
def test_exact_curves_are_recovered(a, b, c):
    law = power_law.fit(SIZES, (a - b * SIZES**-c)[None])
    assert law.a[0] == pytest.approx(a, abs=5e-3) and law.c[0] == pytest.approx(c, rel=0.02)
    for n in (12, 48, 98, 200):
        assert law(n)[0] == pytest.approx(a - b * n**-c, abs=2e-3)


@pytest.mark.parametrize("seed", range(6))
def test_no_fit_of_scipy_is_better(seed):
    rng = np.random.default_rng(seed)
    y = np.minimum(0.9 - 1.5 * SIZES**-0.7 + rng.normal(0, 0.02, 4), 1)
    law = power_law.fit(SIZES, y[None])

    def curve(n, a, b, c):
        return a - b * (n / 48) ** -c

    best, _ = curve_fit(curve, SIZES, y, p0=(0.9, 0.1, 0.7), bounds=([-10, 0, 0.05], [1, 10, 2]), maxfev=20_000)
    theirs = ((y - curve(SIZES, *best)) ** 2).sum()
    ours = sum((y[i] - law(n)[0]) ** 2 for i, n in enumerate(SIZES))
    assert ours <= theirs * (1 + 1e-3) + 1e-9


def test_bounds_and_what_cannot_be_fitted():
    falling = power_law.fit(SIZES, np.array([[0.8, 0.7, 0.7, 0.6]]))
    assert falling.b[0] == falling.c[0] == 0 and falling.a[0] == pytest.approx(0.7)
    assert falling(98)[0] == falling(48)[0]
    steep = power_law.fit(SIZES, np.array([[0.5, 0.7, 0.85, 1.0]]))
    assert steep.a[0] == 1 and steep(10**6)[0] <= 1
    assert np.isnan(power_law.fit(SIZES[:2], np.array([[0.5, 0.6]])).a[0])
    some = power_law.fit(SIZES, np.array([[np.nan, 0.7, 0.8, 0.9], [0.5, 0.7, 0.8, 0.9]]))
    assert np.isnan(some.a[0]) and np.isfinite(some.a[1])


# ---------------------------------------------------------------- the tables


def folds_of(table):
    return [rows for _, rows in table.groupby(["repeat", "fold"])]


def curve(*, signals, repeats=1, n=80):
    """A model's curve whose predictions have another signal at each share; the last is the full fit."""
    parts = []
    for share, signal in zip((0.25, 0.5, 0.75), signals[:-1], strict=False):
        parts += folds_of(predictions(n=n, signal=signal, repeats=repeats).assign(share=share, n_fit=int(share * 48)))
    trained = pd.DataFrame({"patient": [f"T{i}" for i in range(48)], "role": ["train"] * 38 + ["val"] * 10})
    full = [pd.concat([rows, trained]) for rows in folds_of(predictions(n=n, signal=signals[-1], repeats=repeats))]
    return with_full(parts, full)


def run(curves, **changes):
    given = {"classes": CLASSES, "modalities": ["image"], "more_patients": 50, "titles": TITLES} | changes
    return learning(curves, settings=SETTINGS, seed=1, **given)


def test_scores_of_each_share_and_the_gain():
    whole = curve(signals=[0.0, 0.7, 1.1, 1.4])
    scores, fits = run({"m": whole})
    assert list(scores.drop_duplicates("share")["n_train"]) == [12, 24, 36, 48]
    assert set(scores["metric"]) == set(SCORED) and (scores["repeat"] == 0).all()
    rows = scores[scores["metric"] == "auroc"].set_index("share")
    expected = Sample.of(predictions(n=80, signal=0.7), CLASSES).score({"auroc": SCORED["auroc"]}, np.ones((1, 80)))
    assert rows.loc[0.5, "estimate"] == pytest.approx(expected[0, 0])
    assert (rows["ci_low"] < rows["estimate"]).all() and (rows["estimate"] < rows["ci_high"]).all()
    fit = fits.set_index("metric").loc["auroc"]
    law = power_law.PowerLaw(fit["a"], fit["b"], fit["c"])
    assert fit["n_now"] == 48 and fit["n_more"] == 50
    assert fit["now"] == pytest.approx(rows.loc[1.0, "estimate"])
    assert fit["expected_gain"] == pytest.approx(min(law(98) - law(48), 1 - fit["now"]))
    assert 0 <= fit["gain_low"] <= fit["expected_gain"] <= fit["gain_high"] < 1 - fit["now"] + 0.1
    strays = [abs(law(row.n_train) - row.estimate) for row in rows.itertuples()]
    assert fit["misfit"] == pytest.approx(max(strays))
    assert "50 more training patients for the model (now 48)" in fit["says"]


def test_a_flat_curve_promises_nothing():
    fit = run({"m": curve(signals=[1.0, 1.0, 1.0, 1.0])})[1].set_index("metric").loc["auroc"]
    assert fit["b"] == 0 and fit["expected_gain"] == fit["gain_high"] == 0
    assert "would hardly change" in fit["says"]
    unsure = run({"m": curve(signals=[0.9, 1.2, 0.8, 1.0])})[1].set_index("metric").loc["auroc"]
    assert unsure["gain_low"] < unsure["misfit"] and re.search(
        r"do not show .* deviate by up to 0\.\d\d", unsure["says"]
    )


def test_a_curve_is_not_believed_far_beyond_its_sizes():
    rising = curve(signals=[0.0, 0.7, 1.1, 1.4])
    near, far = (run({"m": rising}, more_patients=n)[1].set_index("metric").loc["auroc", "says"] for n in (96, 97))
    assert "too far" not in near and "too far" in far and "do not show" in far


def test_no_gain_passes_a_score_of_one():
    fits = run({"m": curve(signals=[0.5, 1.0, 3.0, 9.0])})[1]
    assert (fits["now"] + fits["expected_gain"] <= 1 + 1e-12).all()


def test_two_sizes_cannot_tell():
    fits = run({"m": curve(signals=[0.5, 1.5])})[1]
    assert fits[["a", "expected_gain", "gain_low"]].isna().all(axis=None)
    assert fits["says"].str.contains("fewer than three sizes").all()


def test_few_scored_patients_have_no_interval():
    fits = run({"m": curve(signals=[0.0, 0.7, 1.1, 1.4], n=9)})[1]
    assert fits["gain_low"].isna().all() and fits["says"].str.contains("too few scored patients").all()


def test_repeats_have_rows_of_their_own_and_one_law():
    scores, fits = run({"m": curve(signals=[0.0, 0.7, 1.1, 1.4], repeats=2)})
    assert len(scores) == 4 * 2 * 3 and len(fits) == 3
    both = scores[(scores["share"] == 1) & (scores["metric"] == "auroc")]
    assert fits.set_index("metric").loc["auroc", "now"] == pytest.approx(both["estimate"].mean())


def test_no_model_no_rows():
    scores, fits = run({})
    assert scores.empty and fits.empty and fits["says"].dtype == object and scores["repeat"].dtype == np.int64
