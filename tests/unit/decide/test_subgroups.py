"""Groups of patients: how they are formed, scored and compared."""

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, SETTINGS, predictions

from histoweave.decide.subgroups import DIFFERENCES, subgroups
from histoweave.decide.wording import subgroup_finding
from histoweave.evaluation.evaluate import evaluate
from histoweave.evaluation.groups import groups
from histoweave.evaluation.metrics import METRICS


def run(table, patients, columns):
    return subgroups(table, patients=patients, columns=columns, classes=CLASSES, settings=SETTINGS, seed=1)


def test_numbers_are_cut_at_their_terciles_and_words_are_not():
    ages = groups(pd.Series([str(age) for age in range(30, 90)] + ["", None]))
    assert set(ages) == {"up to 49.6667", "above 49.6667, up to 69.3333", "above 69.3333", "not given"}
    assert ages.value_counts().to_dict()["not given"] == 2 and (ages.value_counts()[:3] == 20).all()
    assert set(groups(pd.Series(["1", "2", "3", "1"]))) == {"1", "2", "3"}
    assert set(groups(pd.Series(["I", "II", " "]))) == {"I", "II", "not given"}
    skewed = groups(pd.Series(["0"] * 20 + [str(i) for i in range(1, 8)]))
    assert set(skewed) == {"up to 0", "above 0"}


def test_sites_are_scored_as_the_evaluation_scores_them():
    table = predictions().assign(model="m")
    patients = pd.DataFrame({"patient": sorted(table["patient"]), "site": ["x"] * 20 + ["y"] * 23 + ["z"] * 5})
    found, differences = run(table, patients, ["site"])
    said = evaluate(
        table, patients=patients, classes=CLASSES, order=["m"], modalities=["image"], settings=SETTINGS, seed=1
    )["metrics"]
    for site in "xyz":
        own = found[found["group"] == site].set_index("metric")
        assert list(own.index) == list(METRICS)
        expected = said[said["scope"] == f"site:{site}"].set_index("metric").loc[own.index]
        columns = ["estimate", "ci_low", "ci_high", "n"]
        pd.testing.assert_frame_equal(own[columns], expected[columns], check_names=False)
    assert found.loc[found["group"] == "z", ["ci_low", "ci_high"]].isna().all(axis=None)
    assert set(differences["group"]) == {"x", "y"} and set(differences["metric"]) == set(DIFFERENCES)


def test_a_difference_is_that_of_the_group_and_all_others():
    good, bad = predictions(n=60, signal=2.5), predictions(n=60, signal=-1.0)
    worse = good["patient"] < "P020"
    table = good.where(~worse, bad).assign(model="m")
    patients = pd.DataFrame({"patient": sorted(table["patient"]), "sex": ["f"] * 20 + ["m"] * 40})
    found, differences = run(table, patients, ["sex"])
    scores = found[found["metric"] == "accuracy"].set_index("group")["estimate"]
    rows = differences[differences["metric"] == "accuracy"].set_index("group")
    assert rows.loc["f", "difference"] == pytest.approx(scores["f"] - scores["m"])
    assert rows.loc["f", "ci_high"] < 0 < rows.loc["m", "ci_low"]
    assert list(rows["n"]) == [20, 40]


def test_one_group_is_no_group():
    table = predictions().assign(model="m")
    patients = pd.DataFrame({"patient": sorted(table["patient"]), "site": None})
    found, differences = run(table, patients, ["site"])
    assert found.empty and differences.empty
    assert found.dtypes["estimate"] == np.float64 and "difference" in differences


def test_patients_whom_a_model_does_not_predict_are_in_none_of_its_groups():
    table = predictions()
    table = pd.concat([table.assign(model="a"), table.iloc[:30].assign(model="b")])
    patients = pd.DataFrame({"patient": sorted(set(table["patient"])), "site": ["x", "y"] * 24})
    found, _ = run(table, patients, ["site"])
    n = found.drop_duplicates(["model", "group"]).set_index(["model", "group"])["n"]
    assert n["a", "x"] == 24 and n["b", "x"] == 15


def test_a_group_without_an_error_has_a_score_with_a_width_and_no_finding():
    table = predictions(n=60, signal=1.0)
    table.loc[table["patient"] < "P015", ["p_neg", "p_pos"]] = 0.0
    table.loc[table["patient"] < "P015", "p_pos"] = (table["y_true"] == "pos").astype(float)
    table["p_neg"] = 1 - table["p_pos"]
    patients = pd.DataFrame({"patient": sorted(table["patient"]), "sex": ["f"] * 15 + ["m"] * 45})
    found, differences = run(table.assign(model="m"), patients, ["sex"])
    row = found[(found["group"] == "f") & (found["metric"] == "accuracy")].iloc[0]
    assert row["ci_low"] == pytest.approx(0.025 ** (1 / 15)) and row["ci_high"] == 1
    assert differences[["ci_low", "ci_high"]].isna().all(axis=None)
    assert subgroup_finding(differences, "x") == "X: too few patients to compare groups."


def test_a_group_of_two_clusters_is_not_compared_with_the_others():
    table = predictions(n=60).assign(model="m", cluster=[f"s{i % 10}" for i in range(60)])
    groups_of = {"two": [i % 10 < 2 for i in range(60)], "four": [i % 10 < 4 for i in range(60)]}
    patients = pd.DataFrame({"patient": sorted(table["patient"]), **groups_of}).astype(str)
    _, differences = run(table, patients, ["two", "four"])
    assert set(differences["column"]) == {"four"}
