"""Thresholds from validation patients, and what they reach on test patients; ROC curves."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from histoweave.evaluation.binomial import korn_graubard
from histoweave.evaluation.operating import (
    MEASURES,
    OPERATING_TYPES,
    THRESHOLD_TYPES,
    choose,
    operating_points,
)
from histoweave.evaluation.roc import roc

PAIRS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30)


@given(PAIRS)
def test_no_threshold_has_a_larger_youden_index(pairs):
    is_class, scores = np.array([a for a, _ in pairs]), np.array([b / 6 for _, b in pairs])
    found = choose(is_class, scores)
    if is_class.all() or not is_class.any() or len(np.unique(scores)) < 2:
        assert np.isnan(found.threshold) and found.reason
        return
    alarms, hits, _ = roc_curve(is_class, scores, drop_intermediate=False)
    inner = (alarms + hits > 0) & (alarms + hits < 2)
    assert found.youden == pytest.approx((hits - alarms)[inner].max())
    called = scores >= found.threshold
    assert called[is_class].mean() - called[~is_class].mean() == pytest.approx(found.youden)
    assert called.any() and not called.all()
    assert scores.min() < found.threshold <= scores.max()


@pytest.mark.parametrize(
    ("is_class", "scores", "threshold"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.8], 0.4),
        # 0.25 and 0.75 are tied: the lower one.
        ([1, 0, 1, 0], [0.8, 0.2, 0.3, 0.7], 0.25),
        ([0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.4, 0.6, 0.8, 1.0], 0.5),
    ],
)
def test_the_middle_of_ties(is_class, scores, threshold):
    assert choose(np.array(is_class, bool), np.array(scores)).threshold == pytest.approx(threshold)


def test_neighbouring_numbers_are_told_apart():
    low, high = 0.5, np.nextafter(0.5, 1)
    found = choose(np.array([False, True]), np.array([low, high]))
    assert found.youden == 1 and low < found.threshold <= high


def fold_table(rng, *, classes, fold, repeat=0, n=40):
    p = rng.dirichlet(np.ones(len(classes)), n)
    table = pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "repeat": repeat, "fold": fold})
    table["cluster"] = table["patient"]
    table["role"] = np.where(
        np.arange(n) % 4 == fold, "test", np.where(np.arange(n) % 4 == (fold + 1) % 4, "val", "train")
    )
    table["y_true"] = [classes[int(rng.choice(len(classes), p=row))] for row in p]
    return table.assign(**{f"p_{c}": p[:, i] for i, c in enumerate(classes)}, has_image=True, has_expression=True)


def test_whole_sites_get_the_intervals_of_sites():
    """The same counts, and Korn and Graubard's interval of what each site contributes."""
    rng, classes = np.random.default_rng(3), ["neg", "pos"]
    folds = [("image", fold_table(rng, classes=classes, fold=fold)) for fold in range(4)]
    sites = [(model, table.assign(cluster=[f"s{i % 7}" for i in range(len(table))])) for model, table in folds]
    alone, found = (points(given, classes)[0].set_index("measure") for given in (folds, sites))
    columns = ["estimate", "n", "tp", "fp", "tn", "fn"]
    pd.testing.assert_frame_equal(found[columns], alone[columns])
    thresholds = points(folds, classes)[1].set_index("fold")["threshold"]
    test = pd.concat([table[table["role"] == "test"] for _, table in sites])
    test = test[test["y_true"] == "pos"]
    hit = test["p_pos"].to_numpy() >= test["fold"].map(thresholds).to_numpy()
    of_site = pd.DataFrame({"hit": hit, "n": 1}).groupby(test["cluster"].to_numpy()).sum()
    expected = korn_graubard(of_site["hit"].to_numpy(), of_site["n"].to_numpy(), confidence=0.9)
    np.testing.assert_allclose(found.loc["sensitivity", ["ci_low", "ci_high"]].astype(float), expected)


def points(folds, classes, confidence=0.9):
    tables = operating_points(folds, classes=classes, modalities=["image", "expression"], confidence=confidence)
    return tables["operating"], tables["operating_thresholds"]


@pytest.mark.parametrize("classes", [["neg", "pos"], ["a", "b", "c"]])
def test_counts_and_intervals(classes):
    rng = np.random.default_rng(0)
    folds = [("image", fold_table(rng, classes=classes, fold=fold)) for fold in range(4)]
    operating, thresholds = points(folds, classes)
    assert dict(operating.dtypes.astype(str)).keys() == OPERATING_TYPES.keys()
    assert list(thresholds) == list(THRESHOLD_TYPES)
    assert list(operating["class"].unique()) == (classes[1:] if len(classes) == 2 else classes)
    for label, found in operating.groupby("class"):
        truth, called = [], []
        for fold, (_, table) in enumerate(folds):
            own = thresholds[(thresholds["class"] == label) & (thresholds["fold"] == fold)].iloc[0]
            test = table[table["role"] == "test"]
            truth += list(test["y_true"] == label)
            called += list(test[f"p_{label}"] >= own["threshold"])
        tn, fp, fn, tp = confusion_matrix(truth, called).ravel()
        row = found.set_index("measure")
        assert row[["tp", "fp", "tn", "fn"]].drop_duplicates().to_numpy().tolist() == [[tp, fp, tn, fn]]
        pairs = {"sensitivity": (tp, fn), "specificity": (tn, fp), "ppv": (tp, fp), "npv": (tn, fn)}
        for measure, (right, wrong) in pairs.items():
            exact = binomtest(int(right), int(right + wrong)).proportion_ci(0.9, method="exact")
            wanted = (right / (right + wrong), exact.low, exact.high)
            assert tuple(row.loc[measure, ["estimate", "ci_low", "ci_high"]]) == pytest.approx(wanted)


def test_test_patients_have_no_part_in_the_threshold():
    rng = np.random.default_rng(1)
    folds = [("image", fold_table(rng, classes=["neg", "pos"], fold=fold)) for fold in range(4)]
    before = points(folds, ["neg", "pos"])[1]
    turned = []
    for model, table in folds:
        other = table.copy()
        rest = other["role"] != "val"
        other.loc[rest, "y_true"] = np.where(other.loc[rest, "y_true"] == "pos", "neg", "pos")
        turned.append((model, other))
    pd.testing.assert_frame_equal(points(turned, ["neg", "pos"])[1], before)


def test_a_fold_without_a_class_among_its_validation_patients_has_no_threshold():
    rng = np.random.default_rng(2)
    folds = [("image", fold_table(rng, classes=["neg", "pos"], fold=fold)) for fold in range(4)]
    first = folds[0][1]
    first.loc[first["role"] == "val", "y_true"] = "neg"
    operating, thresholds = points(folds, ["neg", "pos"])
    assert np.isnan(thresholds["threshold"].iloc[0]) and "none of the 10" in thresholds["reason"].iloc[0]
    assert operating["reason"].str.contains("1 of 4 folds have no threshold").all()
    assert operating[["tp", "fp", "tn", "fn"]].iloc[0].sum() == 30


def test_a_model_that_always_says_the_same_is_no_test():
    rng = np.random.default_rng(3)
    folds = [("majority", fold_table(rng, classes=["neg", "pos"], fold=0).assign(p_neg=1.0, p_pos=0.0))]
    operating, _ = points(folds, ["neg", "pos"])
    assert operating["estimate"].isna().all() and list(operating["measure"]) == list(MEASURES)


def test_repeats_are_averaged():
    rng = np.random.default_rng(4)
    once = [("image", fold_table(rng, classes=["neg", "pos"], fold=fold)) for fold in range(4)]
    twice = once + [(model, table.assign(repeat=1)) for model, table in once]
    pd.testing.assert_frame_equal(points(once, ["neg", "pos"])[0], points(twice, ["neg", "pos"])[0])


def test_the_weights_of_refitted_models_saw_the_validation_patients():
    rng = np.random.default_rng(5)
    table = fold_table(rng, classes=["neg", "pos"], fold=0)
    thresholds = points([("logistic_expression", table), ("image", table)], ["neg", "pos"])[1]
    assert thresholds.set_index("model")["weights_saw"].to_dict() == {"logistic_expression": True, "image": False}


@pytest.mark.parametrize("classes", [["neg", "pos"], ["a", "b", "c"]])
def test_roc_curve(classes):
    rng = np.random.default_rng(6)
    pooled = fold_table(rng, classes=classes, fold=0).assign(model="image")
    found = roc(pooled, models=["image"], classes=classes)
    for label in classes[1:] if len(classes) == 2 else classes:
        part = found[found["class"] == label]
        alarms, hits, at = roc_curve(pooled["y_true"] == label, pooled[f"p_{label}"])
        assert np.array_equal(part["false_positive_rate"], alarms) and np.array_equal(part["true_positive_rate"], hits)
        assert np.isnan(part["threshold"].iloc[0]) and np.array_equal(part["threshold"].iloc[1:], at[1:])
        area = np.trapezoid(part["true_positive_rate"], part["false_positive_rate"])
        assert area == pytest.approx(roc_auc_score(pooled["y_true"] == label, pooled[f"p_{label}"]))


def test_no_roc_curve_without_both():
    table = fold_table(np.random.default_rng(7), classes=["neg", "pos"], fold=0).assign(model="image", y_true="neg")
    assert roc(table, models=["image"], classes=["neg", "pos"]).empty
