"""Intervals that allow for choosing among models: closed forms, and what they must not do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conclusion_data import CLASSES, MODELS, SETTINGS, factors, predictions, scores_of, told
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t
from sklearn.metrics import roc_auc_score

from histoweave.evaluation.choice import (
    CHOICE_TYPES,
    choose,
    class_counts,
    perfect_low,
    score_interval,
    simultaneous,
)
from histoweave.fusion import catalog

MANY = 10**9  # units without a correction for few of them
BOTH = [model.name for model in MODELS if len(model.modalities) == 2]
SINGLE = [model.name for model in MODELS if len(model.modalities) == 1]


def cohort(seed=0, n=60, **how):
    rng = np.random.default_rng(seed)
    a, b = factors(rng, n)
    return predictions((a + b > 0).astype(int), scores_of(rng, a, b, 2 * (a + b)), **how)


def test_one_question_gets_the_quantile_of_its_own_deviations():
    draws = np.random.default_rng(0).gamma(2, size=(2000, 1))
    half, _, _ = simultaneous(np.array([2.0]), draws, confidence=0.9, units=MANY)
    assert half[0] == pytest.approx(np.quantile(np.abs(draws - 2), 0.9), rel=1e-6)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_critical_values_of_independent_and_of_equal_questions(k):
    draws = np.random.default_rng(k).normal(size=(40_000, k)) * np.linspace(1, 5, k)
    _, _, critical = simultaneous(np.zeros(k), draws, confidence=0.95, units=MANY)
    assert critical == pytest.approx(norm.ppf((1 + 0.95 ** (1 / k)) / 2), abs=0.03)  # Sidak
    _, _, critical = simultaneous(np.zeros(k), np.repeat(draws[:, :1], k, axis=1), confidence=0.95, units=MANY)
    assert critical == pytest.approx(norm.ppf(0.975), abs=0.03)


def test_few_units_widen_as_student_says():
    draws = np.random.default_rng(0).normal(size=(4000, 2))
    wide, _, few = simultaneous(np.zeros(2), draws, confidence=0.95, units=5)
    narrow, _, many = simultaneous(np.zeros(2), draws, confidence=0.95, units=MANY)
    assert few == pytest.approx(t.isf(norm.sf(many), 4))
    np.testing.assert_allclose(wide / narrow, few / many * np.sqrt(5 / 4))


def test_draws_of_few_clusters_hold_their_own_tails():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(60_000, 1)) / np.sqrt(rng.chisquare(4, size=(60_000, 1)) / 4) * 0.1
    half, _, critical = simultaneous(np.zeros(1), draws, confidence=0.95, units=5, student=True)
    assert critical == pytest.approx(t.ppf(0.975, 4), rel=0.03) and half[0] == pytest.approx(0.1 * critical, rel=0.02)
    _, spread, bonferroni = simultaneous(np.ones(2), np.ones((99, 2)), confidence=0.95, units=5, student=True)
    assert bonferroni == pytest.approx(t.ppf(1 - 0.0125, 4)) and not spread.any()


def test_unknown_draws_and_questions_without_spread():
    draws = np.random.default_rng(0).normal(size=(1000, 3))
    draws[:300, 0] = np.nan
    draws[:, 2] = 1.0
    half, spread, critical = simultaneous(np.array([0, 0, 1.0]), draws, confidence=0.95, units=MANY)
    assert np.isnan(half[0]) and half[1] > 0 and half[2] == 0
    assert spread.tolist() == [False, True, False] and critical >= norm.isf(0.05 / 2 / 2) - 1e-6
    assert np.isnan(simultaneous(np.zeros(1), np.full((9, 1), np.nan), confidence=0.95, units=9)[0]).all()


@given(
    st.floats(0, 1), st.integers(1, 200), st.integers(1, 200), st.floats(0.5, 5), st.sampled_from([1.0, 0.0, 0.5, 0.9])
)
def test_closed_form_interval(estimate, m, n, critical, other):
    for value in (estimate, other):
        low, high = score_interval(value, m, n, critical)
        assert 0 <= low <= value <= high <= 1 and high - low > 1e-4
        mirrored = score_interval(1 - value, m, n, critical)
        np.testing.assert_allclose((1 - mirrored[1], 1 - mirrored[0]), (low, high), atol=1e-6)
        if 1e-6 < low < value:  # a bound is where the distance is `critical` standard errors
            bracket = 1 + ((m + n) / 2 - 1) * ((1 - low) / (2 - low) + low / (1 + low))
            error = np.sqrt(low * (1 - low) * bracket / (m * n))
            assert value - low == pytest.approx(critical * error, rel=1e-5, abs=1e-9)


def test_more_patients_and_fewer_models_raise_the_bound_of_a_perfect_model():
    bounds = [perfect_low({"a": n, "b": n}, confidence=0.95, looked_at=10) for n in (3, 5, 10, 30, 100)]
    assert bounds == sorted(bounds) and bounds[1] < 0.5 < bounds[2] < bounds[-1] < 1
    assert perfect_low({"a": 10, "b": 10}, confidence=0.95, looked_at=1) > bounds[2]
    assert np.isnan(perfect_low({"a": 10, "b": 0}, confidence=0.95, looked_at=1))


def test_the_table_holds_every_question_once():
    table = cohort()
    found = told(table)
    assert list(found) == list(CHOICE_TYPES) and (found.dtypes == found.astype(CHOICE_TYPES).dtypes).all()
    y = table.loc[table["model"] == "image", "y_true"] == "pos"
    auroc = {m: roc_auc_score(y, rows["p_pos"]) for m, rows in table.groupby("model")}
    models = found[found["family"] == "models"].set_index("model_a")
    assert set(models.index) == {*BOTH, *SINGLE} and (models["model_b"] == "").all()
    assert all(row["estimate"] == pytest.approx(auroc[name]) for name, row in models.iterrows())
    pairs = found[found["family"] != "models"]
    for row in pairs.to_dict("records"):
        assert row["estimate"] == pytest.approx(auroc[row["model_a"]] - auroc[row["model_b"]])
        mixed = row["model_a"] in BOTH and row["model_b"] in SINGLE
        assert row["family"] == ("fusion_single" if mixed else "pairs")
    n = len(BOTH) + len(SINGLE)
    assert len({frozenset(pair) for pair in zip(pairs["model_a"], pairs["model_b"], strict=True)}) == n * (n - 1) // 2
    assert (found["looked_at"] == found.groupby("family")["family"].transform("size")).all()
    assert (found["n"] == 60).all() and (found["ci_high"] > found["ci_low"]).all()
    assert "patient" not in found


def test_no_interval_is_a_point_even_where_nothing_varies():
    y = np.arange(40) % 2
    rng = np.random.default_rng(0)
    perfect = {model.name: 10.0 * (y - 0.5) + rng.uniform(-1, 1, 40) for model in MODELS}
    found = told(predictions(y, perfect))
    models, pairs = found[found["family"] == "models"], found[found["family"] != "models"]
    closed = perfect_low({"neg": 20, "pos": 20}, confidence=0.95, looked_at=len(models))
    assert (models["estimate"] == 1).all() and (models["ci_low"] <= closed + 1e-9).all()
    assert models["ci_low"].min() > 0.5
    assert (pairs["estimate"] == 0).all() and (pairs["ci_low"] < -0.05).all() and (pairs["ci_high"] > 0.05).all()


def test_too_few_patients_and_a_single_class_have_no_interval():
    few = told(cohort(n=8))
    assert few["ci_low"].isna().all() and few["estimate"].notna().any()
    rng = np.random.default_rng(0)
    one = told(predictions(np.ones(30, int), scores_of(rng, *rng.normal(size=(3, 30)))))
    assert one[["estimate", "ci_low", "ci_high"]].isna().all(axis=None) and len(one) == len(few)


def test_clusters_that_are_patients_change_nothing():
    table = cohort()
    pd.testing.assert_frame_equal(told(table.assign(cluster=table["patient"])), told(table))


def test_a_run_of_models_that_read_nothing_has_no_question():
    table = cohort()
    how = {"classes": CLASSES, "order": ["majority"], "modalities": [], "settings": SETTINGS, "seed": 1}
    found = choose(table[table["model"] == "majority"], **how)
    assert found.empty and list(found) == list(CHOICE_TYPES)
    assert class_counts(table, CLASSES) == table[table["model"] == "image"]["y_true"].value_counts().to_dict()


def test_three_classes_are_scored_by_their_mean():
    rng = np.random.default_rng(0)
    table = cohort()
    y = rng.integers(3, size=60)
    logits = rng.normal(size=(60, 3)) + 1.5 * np.eye(3)[y]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one = table[table["model"] == "image"].assign(
        y_true=np.array(list("abc"))[y], **dict(zip(["p_a", "p_b", "p_c"], p.T, strict=True))
    )
    how = {"classes": list("abc"), "order": catalog.names(), "modalities": ["image"], "settings": SETTINGS, "seed": 1}
    (row,) = choose(one, **how).to_dict("records")
    assert row["estimate"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr"))
    assert 0.5 < row["ci_low"] < row["estimate"] < row["ci_high"] <= 1
