"""Intervals where no draw differs from another, and where the metric's range ends."""

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, SETTINGS, predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from histoweave.evaluation.binomial import clopper_pearson
from histoweave.evaluation.bounds import interval_within, unseen_share, without_width
from histoweave.evaluation.clusters import with_clusters
from histoweave.evaluation.evaluate import evaluate
from histoweave.evaluation.modality import modality_use


def run(tables, patients=None):
    table = pd.concat([rows.assign(model=model) for model, rows in tables.items()], ignore_index=True)
    patients = pd.DataFrame({"patient": sorted(set(table["patient"]))}) if patients is None else patients
    return evaluate(
        table, patients=patients, classes=CLASSES, order=list(tables), modalities=["image"], settings=SETTINGS, seed=1
    )


def perfect(table, p=0.9):
    right = np.where(table["y_true"] == "pos", p, 1 - p)
    return table.assign(p_pos=right, p_neg=1 - right)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 500), confidence=st.floats(0.6, 0.999))
def test_the_share_of_what_was_never_seen_is_that_of_clopper_and_pearson(n, confidence):
    assert unseen_share(n, confidence=confidence) == pytest.approx(clopper_pearson(0, n, confidence=confidence)[1])


def test_nobody_seen_leaves_everything_open():
    assert unseen_share(0, confidence=0.95) == 1


def test_draws_without_a_width_are_found_and_widened_up_to_the_range():
    drawn = np.array([[1.0, 0.5, np.nan, 0.2], [1.0, 0.6, np.nan, np.nan], [1.0, 0.7, np.nan, 0.2]])
    assert list(without_width(drawn[[0, 1, 2, 0]], confidence=0.95)) == [True, False, False, False]
    nearly = np.append(np.ones(99), 0.5)[:, None]
    assert without_width(nearly, confidence=0.95) == [True] and not without_width(nearly, confidence=0.999)
    low, high = interval_within(drawn[:, :2], confidence=0.95, room=0.1, within=(0, 1))
    assert (low[0], high[0]) == (0.9, 1.0) and low[1] == pytest.approx(0.505)


def test_a_model_that_calls_all_right_has_intervals_with_a_width():
    table = perfect(predictions(n=48))
    metrics = run({"m": table})["metrics"].set_index(["scope", "metric"])
    n, counts = 48, table["y_true"].value_counts()
    assert (metrics["ci_high"] - metrics["ci_low"]).dropna().gt(0).all()
    row = metrics.loc[("pooled", "accuracy")]
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(clopper_pearson(n, n, confidence=0.95))
    row = metrics.loc[("pooled", "auroc")]
    assert [row["ci_low"], row["ci_high"]] == pytest.approx([0.025 ** (1 / counts.min()), 1])
    for label in CLASSES:
        row = metrics.loc[(f"class:{label}", "recall")]
        expected = clopper_pearson(counts[label], counts[label], confidence=0.95)
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(expected)


def test_a_difference_is_exact_only_between_models_that_say_the_same():
    table = predictions(n=48)
    same = run({"a": perfect(table), "b": perfect(table)})["comparisons"]
    assert (same[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)
    other = run({"a": perfect(table), "b": perfect(table, p=0.8)})["comparisons"]
    assert (other["difference"] == 0).all() and (other["ci_low"] < 0).all() and (other["ci_high"] > 0).all()


def test_a_modality_that_moves_probabilities_alone_is_no_proof_that_it_moves_no_call():
    intact = perfect(predictions(n=40)).assign(model="m")
    for p, moved in ((0.9, False), (0.8, True)):
        permuted = perfect(intact, p=p).assign(modality="image", permutation=0)
        table = modality_use(intact, permuted, classes=CLASSES, settings=SETTINGS, seed=1).set_index("metric")
        assert table.loc["auroc", "drop"] == 0 and (table.loc["auroc", "ci_high"] > 0) == moved
        assert (table.loc["changed_calls", "ci_high"] > 0) == moved and table.loc["changed_calls", "ci_low"] == 0


# ---------------------------------------------------------------- clusters


def test_what_is_resampled_follows_from_the_folds():
    table = predictions(n=12)
    patients = pd.DataFrame({"patient": sorted(table["patient"]), "site": ["x", "y"] * 6})
    by_patient = with_clusters(table, patients=patients, how={"group_by": "patient"})
    by_site = with_clusters(table, patients=patients, how={"group_by": "site"})
    assert (by_patient["cluster"] == table["patient"]).all()
    assert dict(zip(by_site["patient"], by_site["cluster"], strict=True)) == dict(patients.to_numpy())


def test_patients_as_clusters_change_no_interval():
    table = predictions(n=48, repeats=2)
    plain, same = (run({"m": rows})["metrics"] for rows in (table, table.assign(cluster=table["patient"])))
    pd.testing.assert_frame_equal(plain, same)


def test_whole_sites_give_the_pooled_interval_and_a_sites_own_is_over_its_patients():
    table = predictions(n=60)
    table["cluster"] = [f"s{i % 6}" for i in range(60)]
    patients = table.drop_duplicates("patient")[["patient", "cluster"]].rename(columns={"cluster": "site"})
    wide = run({"m": table}, patients)["metrics"].set_index(["scope", "metric"])
    plain = run({"m": table.drop(columns="cluster")}, patients)["metrics"].set_index(["scope", "metric"])
    pd.testing.assert_series_equal(wide["estimate"], plain["estimate"])
    pd.testing.assert_frame_equal(wide.loc[["site:s1"]], plain.loc[["site:s1"]])
    right = (table["p_pos"] > table["p_neg"]) == (table["y_true"] == "pos")
    means = right.groupby(table["cluster"]).mean()
    expected = stats.t.interval(0.95, 5, means.mean(), means.std(ddof=1) / np.sqrt(6))
    row = wide.loc[("pooled", "accuracy")]
    expected = np.clip(expected, 0, 1)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(expected, abs=0.15 * (expected[1] - expected[0]))
    assert wide["ci_high"].max() <= 1 and wide.drop("mcc", level=1)["ci_low"].min() >= 0
