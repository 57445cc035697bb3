"""What a column tells of the label, and predictions and measurements of the column: on cohorts of known make."""

import h5py
import numpy as np
import pandas as pd
import pytest
from confounding_data import CLASSES, MODELS, SETTINGS, ask, cohort, pooled_metrics
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from histoweave.evaluation import held_out
from histoweave.evaluation.confounding import TYPES, Asked, column_from, label_from_column
from histoweave.evaluation.confounding_wording import verdicts
from histoweave.evaluation.groups import SEVERAL, known_columns, levels, scanners
from histoweave.fusion import catalog

TITLES = {model: catalog.get(model).title for model in MODELS}


def rows(table, question, model=""):
    return table[(table["question"] == question) & (table["model"] == model)].iloc[0]


def verdict(predictions, table, **more):
    found = verdicts(table, pooled_metrics(predictions), titles=TITLES, by_patient=True, **more)
    assert len(found) == table["column"].nunique()
    return found[0]


def test_labels_that_follow_the_site_alone_give_the_warning():
    predictions, patients, folds = cohort(n=90, by_site=0.35, sees_site=9.0)
    table = ask(predictions, patients, folds)
    assert list(table.columns) == list(TYPES) and {name: str(t) for name, t in table.dtypes[["n", "levels"]].items()} == {
        "n": "int64", "levels": "int64",
    }  # fmt: skip
    assert rows(table, "label_from_column")["ci_low"] > 0.5
    assert rows(table, "column_from_predictions", "concat")["ci_low"] > 0.5
    assert rows(table, "label_within_column", "concat")["ci_low"] < 0.5
    assert "majority" not in set(table["model"])
    found = verdict(predictions, table)
    assert found.status == "explained" and "the site may explain its result" in found.says


def test_two_sites_are_told_apart_by_predictions_that_know_nothing_else():
    predictions, patients, folds = cohort(n=80, n_sites=2, by_site=0.3, sees_site=30.0)
    told = rows(ask(predictions, patients, folds), "column_from_predictions", "concat")
    assert told["estimate"] == 1.0 and 0.5 < told["ci_low"] < 1.0 == told["ci_high"]


def test_a_model_that_holds_within_associated_sites_is_said_to():
    predictions, patients, folds = cohort(n=90, by_site=0.3, effect=2.5)
    found = verdict(predictions, ask(predictions, patients, folds))
    assert found.status == "associated" and "holds among patients of the same site" in found.says


def test_predictions_that_tell_the_site_are_noted_where_labels_do_not():
    predictions, patients, folds = cohort(n=100, n_sites=2, effect=2.0, sees_site=4.0)
    table = ask(predictions, patients, folds)
    assert verdict(predictions, table).status == "told"
    kept = ask(predictions, patients, folds, by_patient=False)
    told = rows(kept, "column_from_predictions", "concat")
    assert np.isnan(told["estimate"]) and "whole sites" in told["reason"]


def asked(site, label, seed):
    ids = [f"P{i:04d}" for i in range(len(label))]
    of = levels(pd.Series([f"s{one}" for one in site], index=ids), pd.Index(ids))
    kept = label[[int(name[1:]) for name in of.code.index]]
    return Asked("site", of, kept, of.code.to_numpy(), held_out.own_folds(kept, seed=seed), SETTINGS, seed)


def test_without_association_there_is_no_warning():
    """300 cohorts: the share whose site seems to predict the label, and the mean estimate, which is ½ by design."""
    found = []
    for seed in range(300):
        rng = np.random.default_rng([seed, 5])
        n, n_sites = int(rng.integers(30, 90)), int(rng.integers(2, 6))
        found.append(
            label_from_column(asked(rng.integers(n_sites, size=n), rng.integers(2, size=n), seed), n_classes=2)
        )
    estimates = np.array([one.estimate for one in found])
    assert abs(estimates.mean() - 0.5) < 4 * estimates.std() / np.sqrt(300)
    assert np.mean([one.ci_low > 0.5 for one in found]) <= 0.05


def test_measurements_without_signal_tell_no_site():
    found = []
    for seed in range(60):
        rng = np.random.default_rng([seed, 6])
        site = rng.integers(3, size=60)
        label = (rng.random(60) < np.where(site == 0, 0.8, 0.3)).astype(int)  # the class tells the site
        features = rng.normal(size=(60, 20)) + 3 * label[:, None]  # and the features tell the class
        one = asked(site, label, seed)
        found.append(column_from(one, features[[int(name[1:]) for name in one.patients]]))
    estimates = np.array([one.estimate for one in found])
    assert abs(estimates.mean() - 0.5) < 4 * estimates.std() / np.sqrt(60)
    assert np.mean([one.ci_low > 0.5 for one in found]) <= 0.1


def test_images_and_rna_are_asked(tmp_path):
    predictions, patients, folds = cohort(n=60, n_sites=3)
    rng, files = np.random.default_rng(1), []
    number = patients["site"].str[-1].astype(int).to_numpy()
    for patient, shift in zip(patients["patient"], number, strict=True):
        files.append(tmp_path / f"{patient}.h5")
        with h5py.File(files[-1], "w") as file:
            file["features"] = (rng.normal(size=(7, 5)) + 3.0 * shift * np.eye(5)[0]).astype(np.float32)
    slides = pd.DataFrame({"slide": patients["patient"], "patient": patients["patient"], "status": "ok"}).assign(
        features=list(map(str, files)), scanner_vendor=np.where(number == 0, "aperio", ""), scanner_model="AT2"
    )
    genes = pd.DataFrame(rng.normal(size=(60, 30)), columns=[f"G{i}" for i in range(30)])
    genes.iloc[3, 4] = np.nan
    genes.insert(0, "patient", patients["patient"])
    table = ask(predictions, patients, folds, slides=slides, expression=genes.iloc[5:])
    of_site = table[table["column"] == "site"]
    assert rows(of_site, "column_from_image")["ci_low"] > 0.8
    rna = rows(of_site, "column_from_expression")
    assert rna["ci_low"] < 0.6 and rna["n"] == 55
    scanner = table[table["column"] == "scanner"]
    assert list(scanner["question"]) == ["label_from_column"] and "fewer than two levels" in scanner["reason"].iloc[0]
    assert f"left out: {(number > 0).sum()} patients without a value" in scanner["reason"].iloc[0]


def test_metrics_of_whole_sites_are_copied():
    predictions, patients, folds = cohort(n=40)
    whole = pooled_metrics(predictions).assign(n=39)
    copied = ask(predictions, patients, folds, whole_sites=whole[whole["model"] == "concat"])
    rows_of_whole = copied[copied["question"] == "label_whole_columns"]
    assert rows_of_whole[["model", "estimate", "ci_low", "n"]].to_numpy().tolist() == [["concat", 0.72, 0.6, 39]]


def test_nothing_is_asked_where_nothing_is_known():
    predictions, patients, folds = cohort(n=30)
    table = ask(predictions, patients.assign(site=None), folds)
    assert table.empty and list(table.columns) == list(TYPES)
    assert verdicts(table, pooled_metrics(predictions), titles=TITLES, by_patient=True) == []
    one = ask(predictions, patients.assign(site="here"), folds)
    assert list(one["levels"]) == [1] and one["estimate"].isna().all()
    assert verdict(predictions, one).status == "unknown"


def test_rare_levels_and_missing_values_are_left_out_and_counted():
    predictions, patients, folds = cohort(n=60, n_sites=2)
    patients.loc[:2, "site"] = None
    patients.loc[3:6, "site"] = "small practice"
    table = ask(predictions, patients, folds)
    row = rows(table, "label_from_column")
    assert (row["n"], row["levels"]) == (53, 2)
    assert row["reason"] == "left out: 3 patients without a value and 1 level of fewer than 5 patients (4 patients)"
    assert "hospital" not in " ".join(table["reason"]) and "practice" not in " ".join(table["reason"])


def test_named_columns_are_asked_too():
    predictions, patients, folds = cohort(n=60)
    patients["year"] = np.arange(60).astype(str)
    settings = SETTINGS.model_copy(update={"confounders": ["year", "site", "year"]})
    table = ask(predictions, patients, folds, settings=settings)
    assert list(dict.fromkeys(table["column"])) == ["site", "year"]
    assert set(table.loc[table["column"] == "year", "levels"]) == {3}


def test_a_patients_scanner_is_that_of_the_slides():
    slides = pd.DataFrame(
        [("A", "ok", "aperio", "AT2"), ("A", "ok", "aperio", "AT2"), ("B", "ok", "aperio", "AT2"),
         ("B", "ok", "hamamatsu", ""), ("C", "ok", "", ""), ("D", "no_mpp", "leica", "GT450")],
        columns=["patient", "status", "scanner_vendor", "scanner_model"],
    )  # fmt: skip
    assert scanners(slides).to_dict() == {"A": "aperio AT2", "B": SEVERAL}
    patients = pd.DataFrame({"patient": list("ABCD"), "site": None})
    assert list(known_columns(patients, slides, named=[])) == ["scanner"]


def test_shares_of_a_level_are_drawn_to_those_of_training():
    level, fold = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 0, 1, 0])
    y = np.array([[1, 1, 1, 0, 0, 1]])
    found = held_out.label_scores(y, level=level, fold=fold, n_classes=2, n_levels=3)[0, :, 1]
    # Fold 0 is scored by patients 1, 2 (level 0, both positive) and 4 (level 1, negative): two of three are positive.
    assert found[0] == pytest.approx((2 + 2 / 3) / 3) and found[3] == pytest.approx((0 + 2 / 3) / 2)
    assert found[5] == pytest.approx(2 / 3)  # a level that training does not have


def test_the_discriminant_ranks_as_scikit_learns():
    rng = np.random.default_rng(3)
    level = rng.integers(3, size=120)
    features = rng.normal(size=(120, 6)) + np.eye(6)[level]
    fold = np.arange(120) % 4
    prepared = held_out.prepare(features, label=np.zeros(120, int), fold=fold)
    found = held_out.column_scores(level[None], prepared=prepared, n_levels=3)[0]
    for one in prepared:
        fitted = LinearDiscriminantAnalysis(solver="lsqr").fit(one.x_train, level[one.train])
        expected = fitted.predict_log_proba(one.x_test)
        assert np.corrcoef(found[one.test].ravel(), expected.ravel())[0, 1] > 0.98
    assert np.exp(found).sum(axis=1) == pytest.approx(1)


def test_fitting_sees_no_test_patient():
    rng = np.random.default_rng(4)
    features, label, fold = rng.normal(size=(50, 40)), rng.integers(2, size=50), np.arange(50) % 5
    before = held_out.prepare(features, label=label, fold=fold)
    changed = features.copy()
    changed[fold == 0] *= 100
    after = held_out.prepare(changed, label=label, fold=fold)
    np.testing.assert_array_equal(before[0].x_train, after[0].x_train)
    y = rng.integers(2, size=50)
    turned = np.where(fold == 0, 1 - y, y)
    scores = [held_out.column_scores(v[None], prepared=before, n_levels=2)[0][fold == 0] for v in (y, turned)]
    np.testing.assert_array_equal(*scores)


def test_equal_calls_give_equal_tables():
    predictions, patients, folds = cohort(n=40)
    one, other = (ask(predictions, patients, folds) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
    turned = ask(predictions.sample(frac=1, random_state=1), patients, folds)
    pd.testing.assert_frame_equal(one, turned)


def test_three_classes_and_constant_predictions():
    predictions, patients, folds = cohort(n=60, n_sites=2)
    three = predictions.assign(p_mid=0.2, p_neg=0.4, p_pos=0.4)
    third = np.arange(60) % 3
    names = np.array([*CLASSES, "mid"])[third]
    three["y_true"] = np.tile(names, len(MODELS))
    table = ask(three, patients.assign(label=names), folds, classes=[*CLASSES, "mid"])
    within = rows(table, "label_within_column", "image")
    assert within["estimate"] == 0.5 and np.isnan(within["ci_low"]) and "same score" in within["reason"]
    assert np.isfinite(rows(table, "label_from_column")["estimate"])
