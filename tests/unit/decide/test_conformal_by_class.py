"""Sets with a threshold of each class: what they promise within every class, and what few patients of a class mean."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.apply.conformal import check_classes, prediction_sets
from histoweave.decide import wording
from histoweave.decide.conformal import (
    always_inside,
    class_counts,
    coverage,
    cross_sets,
    least_patients,
    sets,
    sets_by_class,
    threshold,
)

CLASSES = ["common", "rare"]
P = [f"p_{label}" for label in CLASSES]


def drawn(rng, n, *, rare=0.15):
    """Classes, and probabilities of a model that knows the common class far better."""
    y = (rng.random(n) < rare).astype(int)
    logit = np.where(y == 1, rng.normal(0.0, 1.5, n), rng.normal(-3.0, 1.0, n))
    p = 1 / (1 + np.exp(-logit))
    return y, np.column_stack([1 - p, p])


def predicted(rng, n, n_folds=5, model="m"):
    """A calibrated table of out-of-fold predictions."""
    y, p = drawn(rng, n)
    head = {"model": model, "patient": [f"p{i:05d}" for i in range(n)], "repeat": 0, "fold": np.arange(n) % n_folds}
    return pd.DataFrame(head | {"y_true": np.array(CLASSES)[y]} | dict(zip(P, p.T, strict=True)))


def test_thresholds_by_hand():
    scores, truth = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.5, 0.8]), np.array([0, 0, 0, 0, 1, 1, 1])
    p = np.array([[0.65, 0.35], [0.55, 0.45], [0.99, 0.01]])
    # Of the first class ⌈5 · 0.75⌉ = the 4th of four, 0.4; of the other the 3rd of three, 0.9.
    np.testing.assert_array_equal(sets_by_class(p, scores, truth, 0.75), [[1, 1], [0, 1], [1, 0]])
    assert [threshold(scores[truth == c], 0.75) for c in (0, 1)] == [0.4, 0.9]
    assert sets_by_class(p, scores, truth, 0.78)[:, 1].tolist() == [True, True, True]  # 4 · 0.78 > 3: no threshold
    np.testing.assert_array_equal(sets_by_class(p, scores, np.zeros(7, int), 0.5)[:, 0], sets(p, scores, 0.5)[:, 0])


@given(level=st.floats(0.5, 0.99), m=st.integers(0, 120))
@settings(deadline=None)
def test_a_class_is_ruled_out_from_so_many_patients_on(level, m):
    assert (m < least_patients(level)) == math.isinf(threshold(np.linspace(0, 1, m), level))


@pytest.mark.parametrize(("level", "least"), [(0.9, 9), (0.8, 4), (0.95, 19), (0.5, 1)])
def test_the_least_number_is_one_over_the_doubt_less_one(level, least):
    assert least_patients(level) == least == round(1 / (1 - level) - 1)


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_each_class_is_covered_as_stated_where_one_threshold_leaves_the_rare_one_behind(level):
    rng, found = np.random.default_rng(7), []
    for _ in range(300):
        y, p = drawn(rng, 150)
        truth, new = drawn(rng, 200)
        scores = 1 - p[np.arange(150), y]
        inside = {"one": sets(new, scores, level), "own": sets_by_class(new, scores, y, level)}
        for kind, kept in inside.items():
            right = kept[np.arange(200), truth]
            found += [{"kind": kind, "class": c, "covered": right[truth == c].mean()} for c in (0, 1)]
    share = pd.DataFrame(found).groupby(["kind", "class"])["covered"].agg(["mean", "sem"])
    for c in (0, 1):
        mean, error = share.loc[("own", c)]
        assert level - 3 * error <= mean <= level + 0.07  # at most 1 / (m + 1) above, of the 15 % rare ones here
    assert share.loc[("one", 1), "mean"] < level - 0.2 and share.loc[("one", 0), "mean"] > level


def test_bundles_cover_each_class_of_another_cohort():
    """Five fold models that differ a little, 400 patients to calibrate on, 3000 others."""
    rng = np.random.default_rng(1)
    scores = predicted(rng, 400)
    own = np.where(scores["y_true"] == "rare", scores["p_rare"], scores["p_common"])
    scores = scores.assign(score=1 - own)
    truth, p = drawn(rng, 3000)
    members = []
    for fold in range(5):
        logit = np.log(p[:, 1] / p[:, 0]) + rng.normal(0, 0.1, 3000)
        q = 1 / (1 + np.exp(-logit))
        head = {"model": "m", "fold": fold, "patient": [f"n{i:04d}" for i in range(3000)]}
        members.append(pd.DataFrame(head | {"p_common": 1 - q, "p_rare": q}))
    found = prediction_sets(pd.concat(members), scores, classes=CLASSES, level=0.9, kind="class")
    held = np.array([CLASSES[t] in found["m", f"n{i:04d}"].split("; ") for i, t in enumerate(truth)])
    for c in (0, 1):
        assert 0.9 - 0.05 <= held[truth == c].mean() <= 0.97, c


@given(seed=st.integers(0, 1000), level=st.sampled_from([0.6, 0.8, 0.9]))
@settings(max_examples=30, deadline=None)
def test_of_one_fold_model_a_bundles_sets_are_those_of_the_thresholds(seed, level):
    rng = np.random.default_rng(seed)
    known, new = predicted(rng, 40, n_folds=1), predicted(rng, 12, n_folds=1)
    truth = (known["y_true"] == "rare").to_numpy().astype(int)
    score = 1 - known[P].to_numpy()[np.arange(40), truth]
    found = prediction_sets(new, known.assign(score=score), classes=CLASSES, level=level, kind="class")
    expected = sets_by_class(new[P].to_numpy(), score, truth, level)
    assert [found["m", patient] for patient in new["patient"]] == [
        "; ".join(np.array(CLASSES)[row]) for row in expected
    ]


def test_few_patients_of_a_class_are_told_and_put_it_in_every_set():
    table = predicted(np.random.default_rng(0), 60)
    table.loc[table.index[:8], "y_true"] = "rare"
    table.loc[table.index[8:], "y_true"] = "common"
    found = cross_sets(table, CLASSES, [0.9])
    by_class = found[found["kind"] == "class"]
    assert by_class["set"].str.contains("rare").all() and not by_class["set"].str.contains("common").all()
    scores = table.assign(score=0.5)
    counts = class_counts(scores, CLASSES)
    assert counts.groupby("y_true")["n"].agg(["min", "max"]).loc["rare"].tolist() == [6, 7]
    assert always_inside(counts, CLASSES, 0.9) == {"rare": 6} and always_inside(counts, CLASSES, 0.8) == {}
    measured = coverage(found, patients=table[["patient"]], classes=CLASSES, confidence=0.95)
    says = wording.class_finding(measured, scores, 0.9, "the model")
    assert (
        "A coverage of 90% needs 9 patients of a class: rare (6 in the other folds) is therefore in every set with one "
        "threshold per class." in says
    )
    assert "100% [63%, 100%]" in says.split("With one threshold per class")[1]
    (check,) = check_classes(scores, classes=CLASSES, level=0.9)
    assert check.status == "warn" and "fewer than 9 training patients" in check.says and "rare (8)" in check.says
    (check,) = check_classes(scores, classes=CLASSES, level=0.8)
    assert check.status == "ok" and check_classes(None, classes=CLASSES, level=0.8) == []


def test_a_class_that_one_threshold_covers_too_seldom_is_named():
    table = predicted(np.random.default_rng(2), 500)
    measured = coverage(
        cross_sets(table, CLASSES, [0.9]), patients=table[["patient"]], classes=CLASSES, confidence=0.95
    )
    says = wording.class_finding(measured, table, 0.9, "the model")
    assert "With one threshold for all, rare is covered less often than stated: see the sets" in says
    assert "as well" not in says and "needs" not in says
    rows = measured[(measured["kind"] == "class") & measured["scope"].str.startswith("class:")]
    assert (rows["ci_high"] >= 0.9).all()
