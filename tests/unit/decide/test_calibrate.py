"""Temperatures and calibration: against brute force, on data whose truth is known, and blind to test patients."""

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, SETTINGS, predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss as sklearn_log_loss

from histoweave.decide import calibrate
from histoweave.decide.temperature import AT_UPPER_BOUND, fit_temperature
from histoweave.evaluation.evaluate import evaluate, pool
from histoweave.evaluation.tempered import BOUNDS, rescale


def overconfident(n, *, factor=3.0, n_classes=3, seed=0):
    """Classes drawn from known probabilities, and the probabilities whose logits are `factor` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, n_classes))
    true = softmax(logits, axis=1)
    y = np.array([rng.choice(n_classes, p=row) for row in true])
    return softmax(factor * logits, axis=1), y, true


def roles(*, n=300, factor=3.0, seed=0):
    """A prediction table of one model and two folds with over-confident probabilities; 'val' and 'test' rows."""
    tables = []
    for fold in range(2):
        for role in ("val", "test"):
            p, y, _ = overconfident(n, factor=factor, n_classes=2, seed=[seed, fold, role == "test"])
            ids = [f"{role}{fold}-{i:03d}" for i in range(n)]
            table = pd.DataFrame({"model": "m", "patient": ids, "repeat": 0, "fold": fold, "role": role})
            table = table.assign(y_true=np.array(CLASSES)[y], has_image=True, has_expression=True)
            tables.append(table.assign(p_neg=p[:, 0], p_pos=p[:, 1]))
    return pd.concat(tables, ignore_index=True)


# ---------------------------------------------------------------- one temperature


@pytest.mark.parametrize(("factor", "seed"), [(3.0, 0), (0.5, 1), (1.0, 2)])
def test_the_temperature_is_that_of_a_brute_force_search(factor, seed):
    p, y, _ = overconfident(80, factor=factor, seed=seed)
    grid = np.geomspace(*BOUNDS, 2001)
    losses = [-np.log(rescale(p, t)[np.arange(len(y)), y]).mean() for t in grid]
    found = fit_temperature(p, y)
    assert found.reason == ""
    assert found.value == pytest.approx(grid[np.argmin(losses)], rel=4e-3)
    assert sklearn_log_loss(y, rescale(p, found.value)) <= min(losses) + 1e-9


def test_it_undoes_what_made_the_probabilities_overconfident():
    p, y, true = overconfident(20_000, factor=3.0)
    found = fit_temperature(p, y)
    assert found.value == pytest.approx(3.0, rel=0.05)
    np.testing.assert_allclose(rescale(p, 3.0), true, atol=1e-12)


@given(st.integers(0, 10**6), st.floats(0.05, 20))
@settings(max_examples=40, deadline=None)
def test_no_temperature_changes_a_call(seed, temperature):
    p = np.random.default_rng(seed).dirichlet(np.full(4, 0.5), size=20)
    scaled = rescale(p, temperature)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    top = np.sort(p, axis=1)
    clear = top[:, -1] - top[:, -2] > 1e-6
    assert (scaled.argmax(axis=1) == p.argmax(axis=1))[clear].all()


def test_certainty_and_temperature_one_stay_as_they_are():
    p = np.array([[1.0, 0.0], [0.3, 0.7]])
    assert (rescale(p, 1.0) == p).all()
    np.testing.assert_array_equal(rescale(p, [2.0, 1.0])[0], [1.0, 0.0])
    np.testing.assert_allclose(rescale(p, 0.5)[1], [0.09 / 0.58, 0.49 / 0.58])


def test_where_nothing_can_be_fitted_it_stays_one_with_the_reason():
    p, y, _ = overconfident(50)
    assert fit_temperature(p[:9], y[:9]) == (1.0, "fewer than 10 validation patients")
    assert fit_temperature(p[:0], y[:0]).value == 1.0
    one = np.flatnonzero(y == 0)[:12]
    assert "one class" in fit_temperature(p[one], y[one]).reason
    certain = np.tile([1.0, 0.0], (20, 1))
    assert fit_temperature(certain, np.arange(20) % 2) == (
        1.0,
        "a probability is exactly 0, which temperature scaling cannot change",
    )
    right = np.where(np.eye(2)[np.arange(20) % 2] == 1, 0.7, 0.3)
    found = fit_temperature(right, np.arange(20) % 2)
    assert found.value == 1.0 and "predicted correctly" in found.reason
    assert fit_temperature(1 - right, np.arange(20) % 2) == (BOUNDS[1], AT_UPPER_BOUND)


# ---------------------------------------------------------------- the tables


def test_a_temperature_mends_overconfident_probabilities():
    table = roles()
    temperatures = calibrate.temperatures(table, CLASSES)
    assert list(temperatures["n_val"]) == [300, 300] and (temperatures["temperature"] > 2).all()
    before = table[table["role"] == "test"]
    after = calibrate.calibrated(before, temperatures, CLASSES)
    scores = calibrate.calibration(before, after, classes=CLASSES, settings=SETTINGS, seed=1).set_index("metric")
    assert (scores["ci_high"] < 0).all() and (scores["n"] == 600).all()
    np.testing.assert_allclose(scores["difference"], scores["after"] - scores["before"])
    assert scores.loc["ece", "after"] < 0.5 * scores.loc["ece", "before"]
    expected = sklearn_log_loss(before["y_true"], before[["p_neg", "p_pos"]].to_numpy())
    assert scores.loc["log_loss", "before"] == pytest.approx(expected)


def test_each_fold_has_its_own_temperature():
    table = roles()
    temperatures = calibrate.temperatures(table, CLASSES).assign(temperature=[1.0, 4.0])
    test = table[table["role"] == "test"]
    after = calibrate.calibrated(test, temperatures, CLASSES)
    first = (test["fold"] == 0).to_numpy()
    assert after[first].equals(test[first])
    expected = rescale(test.loc[~first, ["p_neg", "p_pos"]].to_numpy(), 4.0)
    np.testing.assert_allclose(after.loc[~first, ["p_neg", "p_pos"]], expected)


def test_temperatures_never_see_a_test_or_training_patient():
    table = roles()
    garbage = table.copy()
    others = garbage["role"] != "val"
    garbage.loc[others, "y_true"] = "pos"
    garbage.loc[others, ["p_neg", "p_pos"]] = [0.999, 0.001]
    assert calibrate.temperatures(garbage, CLASSES).equals(calibrate.temperatures(table, CLASSES))
    spoilt = table.assign(y_true=table["y_true"].where(others, "neg"))
    assert not calibrate.temperatures(spoilt, CLASSES).equals(calibrate.temperatures(table, CLASSES))


def test_before_is_what_the_evaluation_says_and_the_bins_are_its_bins():
    table = pool([("a", predictions(seed=3)), ("b", predictions(seed=3, model_seed=1))])
    said = evaluate(
        table, patients=pd.DataFrame({"patient": sorted(set(table["patient"]))}), classes=CLASSES, order=["a", "b"],
        modalities=["image"], settings=SETTINGS, seed=1,
    )  # fmt: skip
    scores = calibrate.calibration(table, table, classes=CLASSES, settings=SETTINGS, seed=1)
    for metric in ("ece", "brier"):
        rows = said["metrics"].query("scope == 'pooled' and metric == @metric").set_index("model")
        own = scores[scores["metric"] == metric].set_index("model")
        np.testing.assert_allclose(own["before"], rows["estimate"])
    assert (scores[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)
    bins = calibrate.reliability_of_both(table, table, classes=CLASSES)
    pd.testing.assert_frame_equal(
        bins[bins["state"] == "before"].drop(columns="state"), said["reliability"], check_dtype=False
    )
