"""Abstention and decision curves, by hand and in closed form."""

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, SETTINGS, predictions

from histoweave.decide.decision_curve import THRESHOLDS, decision_curve, net_benefit, treat_all
from histoweave.decide.selective import aurc, risk_at, risk_coverage, risk_drop, selective


def two(p):
    return np.column_stack([1 - np.asarray(p), p])


def ones(n):
    return np.ones((1, n))


# ---------------------------------------------------------------- abstention


@pytest.mark.parametrize("errors", [0, 1, 7, 20])
def test_aurc_of_the_best_order_in_closed_form(errors):
    """All errors among the least sure: (1/n) Σ_{j=1..e} j / (n − e + j)."""
    n = 20
    confidence = np.linspace(0.99, 0.6, n)
    y = np.ones(n, dtype=int)
    y[n - errors :] = 0
    j = np.arange(1, errors + 1)
    assert aurc(y, two(confidence), ones(n))[0] == pytest.approx((j / (n - errors + j)).sum() / n)


def test_aurc_is_the_mean_of_the_risks_at_all_coverages():
    table = predictions(n=50)
    p, y = table[["p_neg", "p_pos"]].to_numpy(), (table["y_true"] == "pos").to_numpy().astype(int)
    order = np.argsort(-p.max(axis=1))
    wrong = (p.argmax(axis=1) != y)[order]
    risks = np.cumsum(wrong) / np.arange(1, 51)
    assert aurc(y, p, ones(50))[0] == pytest.approx(risks.mean())
    for coverage in (0.1, 0.5, 0.8, 1.0):
        expected = risks[round(coverage * 50) - 1]
        assert risk_at(y, p, ones(50), coverage=coverage)[0] == pytest.approx(expected)
    assert risk_drop(y, p, ones(50))[0] == pytest.approx(risks[-1] - risks[39])
    curve = risk_coverage(table.assign(model="m"), classes=CLASSES)
    np.testing.assert_allclose(curve["risk"], risks)
    np.testing.assert_allclose(curve["coverage"], np.arange(1, 51) / 50)
    assert curve["threshold"].is_monotonic_decreasing and list(curve["n"]) == list(range(1, 51))


def test_equal_confidences_are_answered_together():
    y = np.array([1, 1, 0, 0])
    flat = two(np.full(4, 0.7))
    assert aurc(y, flat, ones(4))[0] == 0.5 == risk_at(y, flat, ones(4), coverage=0.1)[0]
    assert risk_drop(y, flat, ones(4))[0] == 0


def test_a_weight_counts_as_that_many_patients_of_one_confidence():
    y, p = np.array([1, 0, 1]), two([0.9, 0.8, 0.7])
    weights = np.array([[2.0, 1.0, 1.0], [0.0, 1.0, 3.0]])
    # Answered 2, 3, 4 with 0, 1, 1 wrong; then 0, 1, 4 with 0, 1, 1 wrong.
    np.testing.assert_allclose(aurc(y, p, weights), [(0 + 1 / 3 + 1 / 4) / 4, (1 * 1 + 3 / 4) / 4])
    np.testing.assert_allclose(risk_at(y, p, weights, coverage=0.5), [0.0, 0.25])


def test_the_table_has_intervals_over_patients():
    table = pd.concat([predictions().assign(model="a"), predictions(n=8).assign(model="b")])
    found = selective(table, classes=CLASSES, settings=SETTINGS, seed=1).set_index(["model", "metric"])
    row = found.loc[("a", "risk_at_0.8")]
    assert row["ci_low"] <= row["estimate"] <= row["ci_high"] and row["n"] == 48
    assert found.loc["b"][["ci_low", "ci_high"]].isna().all(axis=None)


# ---------------------------------------------------------------- decision curves


def test_net_benefit_by_hand():
    """Ten patients, four cases. At 0.2 seven are treated, four of them cases: 4/10 − 3/10 · 0.2/0.8 = 0.325."""
    p = np.array([0.9, 0.8, 0.5, 0.2, 0.6, 0.3, 0.2, 0.1, 0.1, 0.05])
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    found = dict(zip(THRESHOLDS, net_benefit(y, two(p), ones(10), code=1)[0], strict=True))
    assert found[0.2] == pytest.approx(0.4 - 0.3 * 0.25)
    assert found[0.5] == pytest.approx(0.3 - 0.1)
    assert found[0.75] == pytest.approx(0.2)
    assert found[0.95] == 0
    everybody = dict(zip(THRESHOLDS, treat_all(y, two(p), ones(10), code=1)[0], strict=True))
    assert everybody[0.2] == pytest.approx(0.4 - 0.6 * 0.25) and everybody[0.4] == pytest.approx(0)
    assert found[0.05] == pytest.approx(everybody[0.05])  # all are treated


def test_a_perfect_model_has_the_prevalence_as_net_benefit_everywhere():
    y = np.array([1, 0, 0, 1, 0])
    np.testing.assert_allclose(net_benefit(y, two(y.astype(float)), ones(5), code=1)[0], 0.4)


def test_curves_of_models_and_of_treating_all_and_none():
    table = pd.concat([predictions().assign(model="a"), predictions(model_seed=1).assign(model="b")])
    curve = decision_curve(table, classes=CLASSES, settings=SETTINGS, seed=1)
    assert set(curve["model"]) == {"treat_all", "treat_none", "a", "b"} and set(curve["class"]) == {"pos"}
    assert len(curve) == 4 * 99 and (curve["n"] == 48).all()
    wide = curve.pivot(index="threshold", columns="model", values="net_benefit")
    assert (wide["treat_none"] == 0).all()
    own = curve[curve["model"] == "a"].set_index("threshold")
    np.testing.assert_allclose(own["advantage"], wide["a"] - wide[["treat_all", "treat_none"]].max(axis=1))
    assert (own["ci_low"] <= own["net_benefit"] + 1e-12).all() and (own["net_benefit"] <= own["ci_high"] + 1e-12).all()
    assert own.loc[0.4, "advantage_low"] > 0
    assert curve[curve["model"] == "treat_all"]["advantage"].isna().all()


def test_each_of_several_classes_against_the_rest():
    classes = ["a", "b", "c"]
    curve = decision_curve(predictions(classes=classes).assign(model="m"), classes=classes, settings=SETTINGS, seed=1)
    assert set(curve["class"]) == set(classes)
