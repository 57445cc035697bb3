"""One fold from tables to files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from fusion_cohort import FAST, Cohort, make_cohort
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.models.linear import INVERSE_REGULARISATION
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.seeds import fold_seed
from histoweave.storage.files import read_json, read_table

FILES = {
    "model.safetensors", "config.json", "transforms.parquet", "history.parquet",
    "predictions.parquet", "modality_use.parquet", "attention.parquet",
}  # fmt: skip
ATTENTIVE = {"image", "concat", "cross_attention"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    """Three classes; P000 has no image, P001 no expression, P002 two slides, P003 is not included."""
    whole = make_cohort(tmp_path_factory.mktemp("f"), seed=4, n=48, n_features=20, n_genes=60, n_folds=3, n_classes=3)
    patients = whole.patients.set_index("patient")
    patients.loc["P000", "has_image"] = patients.loc["P001", "has_expression"] = False
    patients.loc["P003", ["included", "label"]] = [False, None]
    patients["complete"] = patients["has_image"] & patients["has_expression"]
    slides = whole.slides[whole.slides["patient"] != "P000"]
    second = slides[slides["patient"] == "P002"].assign(slide="P002-2")
    expression = whole.expression[whole.expression["patient"] != "P001"]
    # The incomplete patients are scored in fold 0.
    folds = whole.folds[whole.folds["patient"] != "P003"].copy()
    folds.loc[folds["patient"].isin(["P000", "P001", "P002"]) & (folds["fold"] == 0), "role"] = "test"
    return dataclasses.replace(
        whole,
        patients=patients.reset_index(),
        slides=pd.concat([slides, second], ignore_index=True),
        expression=expression.reset_index(drop=True),
        folds=folds,
    )


@pytest.fixture(scope="module")
def runs(cohort, tmp_path_factory):
    folder, done = tmp_path_factory.mktemp("runs"), {}
    for model in catalog.names():
        needs = {name: done[name] for name in catalog.get(model).needs}
        done[model] = cohort.run(model, 0, folder / model, needs=needs)
    return done


@pytest.mark.parametrize("model", catalog.names())
def test_all_files_are_written_and_predictions_are_complete(cohort, runs, model):
    assert {path.name for path in runs[model].iterdir()} == FILES
    table = read_table(runs[model] / "predictions.parquet")
    front = ["patient", "repeat", "fold", "role", "y_true", "has_image", "has_expression"]
    assert list(table) == [*front, "p_a", "p_b", "p_c"]
    info = catalog.get(model)
    patients = cohort.patients.set_index("patient")
    roles = cohort.folds[cohort.folds["fold"] == 0].set_index("patient")["role"]
    able = [
        p for p in roles.index
        if info.handles(has_image=patients.has_image[p], has_expression=patients.has_expression[p])
    ]  # fmt: skip
    assert list(table["patient"]) == sorted(able)
    table = table.set_index("patient")
    assert (table["role"] == roles[table.index]).all()
    assert (table["y_true"] == patients["label"][table.index]).all()
    np.testing.assert_allclose(table[["p_a", "p_b", "p_c"]].sum(axis=1), 1, atol=1e-6)
    assert {"P000", "P001"} <= set(able) or not info.tolerates_missing


@pytest.mark.parametrize("model", catalog.names())
def test_attention_covers_the_test_patients_tiles_and_sums_to_one(cohort, runs, model):
    table = read_table(runs[model] / "attention.parquet")
    assert list(table) == ["patient", "slide", "x_lv0", "y_lv0", "attention"]
    if model not in ATTENTIVE:
        assert table.empty
        return
    predictions = read_table(runs[model] / "predictions.parquet")
    scored = predictions[(predictions["role"] == "test") & predictions["has_image"]]["patient"]
    assert set(table["patient"]) == set(scored)
    np.testing.assert_allclose(table.groupby("patient")["attention"].sum(), 1, atol=1e-6)
    n_tiles = cohort.slides.groupby("slide")["n_tiles"].sum()
    assert table.groupby("slide").size().equals(n_tiles[sorted(set(table["slide"]))])
    assert set(table.loc[table["patient"] == "P002", "slide"]) == {"P002-1", "P002-2"}


@pytest.mark.parametrize("model", catalog.names())
def test_modality_use_exchanges_only_what_it_says(runs, model):
    use = read_table(runs[model] / "modality_use.parquet")
    predictions = read_table(runs[model] / "predictions.parquet").set_index("patient")
    test = predictions[(predictions["role"] == "test") & predictions["has_image"] & predictions["has_expression"]]
    columns = ["p_a", "p_b", "p_c"]
    before = use[use["modality"] == catalog.OWN].set_index("patient")
    np.testing.assert_array_equal(before.loc[test.index, columns], test[columns])  # the bags are small
    for modality in catalog.MODALITIES:
        rows = use[use["modality"] == modality]
        assert sorted(rows["permutation"].unique()) == [0, 1, 2]
        for _, one in rows.groupby("permutation"):
            assert sorted(one["patient"]) == sorted(test.index)
        own = test.loc[rows["patient"], columns].to_numpy()
        changed = np.abs(rows[columns].to_numpy() - own).max(axis=1)
        if modality in catalog.get(model).modalities and model not in ("best_gene", "top_pairs"):
            assert (changed > 0).mean() > 0.9  # nobody keeps the own modality; a few genes may agree in two patients
        elif modality not in catalog.get(model).modalities:
            assert (changed == 0).all()


def test_modality_use_is_a_prediction_from_the_pair(cohort, runs):
    """Each permuted row equals a direct prediction for some other patient's image, never the own."""
    fitted = load_fold(runs["cross_attention"])
    everyone = PatientSet.of(
        cohort.patients, slides=cohort.slides, expression=cohort.expression, classes=cohort.classes
    )
    use = read_table(runs["cross_attention"] / "modality_use.parquet")
    rows = use[(use["modality"] == "image") & (use["permutation"] == 0)]
    test = everyone.subset(rows["patient"])
    donors = []
    for row in rows.itertuples():
        values, _ = fitted.predict(fitted.batcher(test), image_of=test.ids, expression_of=[row.patient] * len(test.ids))
        donors.append(test.ids[int(np.abs(values - [row.p_a, row.p_b, row.p_c]).sum(axis=1).argmin())])
    assert sorted(donors) == test.ids
    assert all(donor != patient for donor, patient in zip(donors, rows["patient"], strict=True))


@pytest.mark.parametrize("model", catalog.names())
def test_a_saved_folder_predicts_the_same(cohort, runs, model):
    fitted = load_fold(runs[model])
    everyone = PatientSet.of(
        cohort.patients, slides=cohort.slides, expression=cohort.expression, classes=cohort.classes
    ).handled_by(fitted.info)
    values, _ = fitted.predict(fitted.batcher(everyone), image_of=everyone.ids, expression_of=everyone.ids)
    table = read_table(runs[model] / "predictions.parquet").set_index("patient").loc[everyone.ids]
    # Of a model that is fitted to the validation patients in the end, their rows are from before.
    same = (table["role"] != "val").to_numpy() if fitted.info.refitted else np.ones(len(table), bool)
    # The fold predicted from projected tiles, which are rounded to float16.
    atol = 1e-4 if catalog.IMAGE in fitted.info.modalities and not fitted.info.pooled else 1e-6
    np.testing.assert_allclose(values[same], table.loc[same, ["p_a", "p_b", "p_c"]], atol=atol)
    if fitted.info.refitted:
        assert np.abs(values[~same] - table.loc[~same, ["p_a", "p_b", "p_c"]]).to_numpy().min() > 1e-6


SIMPLE = ["top_pairs", "centroid", "logistic_expression", "logistic_image", "logistic_both"]


@pytest.mark.parametrize("model", [*SIMPLE, "image", "cross_attention"])
def test_two_runs_give_the_same_bytes(cohort, runs, tmp_path, model):
    again = cohort.run(model, 0, tmp_path / model)
    for name in FILES:
        assert (again / name).read_bytes() == (runs[model] / name).read_bytes(), name


def test_config_names_train_and_val_patients_and_the_seed(cohort, runs):
    config = read_json(runs["concat"] / "config.json")
    assert config["classes"] == ["a", "b", "c"] and config["model"] == "concat"
    folds = cohort.folds[cohort.folds["fold"] == 0].set_index("patient")["role"]
    assert {*config["train"], *config["val"]} <= set(folds.index[folds != "test"])
    assert config["fold_seed"] == fold_seed(1, "concat", 0) != fold_seed(1, "concat", 1)
    assert json.dumps(config["settings"])


def test_history_marks_one_best_epoch_per_member(runs):
    history = read_table(runs["image"] / "history.parquet")
    for _, rows in history.groupby("member"):
        assert rows["best"].sum() == 1
        assert rows.loc[rows["best"], "val_loss"].item() == rows["val_loss"].min()
    assert history["member"].nunique() == FAST.members
    assert read_table(runs["majority"] / "history.parquet").empty


def test_logistic_expression_equals_scikit_learn(cohort, runs):
    """For one penalty of the grid, the stored predictions are scikit-learn's: genes scaled on train patients, fitted on
    train and validation patients, classes weighted by the square root of scikit-learn's balanced weights; those of
    validation patients are of the fit on train patients alone, so that their own labels are not in them."""
    predictions = read_table(runs["logistic_expression"] / "predictions.parquet").set_index("patient")
    fitted = load_fold(runs["logistic_expression"])
    x = cohort.expression.set_index("patient")[fitted.transforms.expression.kept_genes]
    train = predictions.index[predictions["role"] == "train"]
    scaler = StandardScaler().fit(x.loc[train])
    differences = []
    for inverse in INVERSE_REGULARISATION:
        found = []
        for is_val in (False, True):
            rows = predictions[(predictions["role"] == "val") == is_val]
            fitted_on = train if is_val else predictions.index[predictions["role"] != "test"]
            weights = np.sqrt(compute_sample_weight("balanced", predictions["y_true"][fitted_on]))
            model = LogisticRegression(C=inverse, max_iter=5000)
            model.fit(scaler.transform(x.loc[fitted_on]), predictions["y_true"][fitted_on], sample_weight=weights)
            wanted = model.predict_proba(scaler.transform(x.loc[rows.index]))
            found.append(np.abs(wanted - rows[["p_a", "p_b", "p_c"]].to_numpy()).max())
        differences.append(max(found))
    assert min(differences) < 2e-3


def test_repeats_are_counted_before_folds(cohort, tmp_path):
    folds = pd.concat([cohort.folds, cohort.folds.assign(repeat=1)], ignore_index=True)
    out = cohort.run("majority", 4, tmp_path, folds=folds)
    table = read_table(out / "predictions.parquet")
    assert set(zip(table["repeat"], table["fold"], strict=True)) == {(1, 1)}


def test_fewer_than_two_complete_test_patients_leave_modality_use_empty(cohort, tmp_path):
    folds = cohort.folds[(cohort.folds["fold"] == 0)].copy()
    keep = folds["patient"][folds["role"] == "test"].iloc[0]
    folds = folds[(folds["role"] != "test") | (folds["patient"] == keep)]
    use = read_table(cohort.run("image", 0, tmp_path, folds=folds) / "modality_use.parquet")
    assert use.empty
    assert {"modality", "permutation", "patient", "y_true", "p_a", "p_b", "p_c"} <= set(use)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("crossattention", {}, "did you mean 'cross_attention'"),
        ("late_mean", {"needs": {}}, "'late_mean' needs 'image'"),
        ("image", {"k": 7}, "no repeat 2, fold 1"),
        ("image", {"classes": ["a", "b"]}, "label 'c' is not one of"),
    ],
)
def test_what_cannot_be_fitted_gets_one_line(cohort, tmp_path, model, changes, message):
    k = changes.pop("k", 0)
    with pytest.raises(InputError, match=message):
        cohort.run(model, k, tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_a_cohort_without_rna(cohort, tmp_path):
    patients = cohort.patients.assign(has_expression=False)
    patients["included"] &= patients["has_image"]
    folds = cohort.folds[cohort.folds["patient"] != "P000"]
    with pytest.raises(InputError, match="no training patient with expression"):
        cohort.run("expression", 0, tmp_path, patients=patients, folds=folds, expression=None)
    out = cohort.run("cross_attention", 0, tmp_path / "x", patients=patients, folds=folds, expression=None)
    table = read_table(out / "predictions.parquet")
    assert table[["p_a", "p_b", "p_c"]].notna().all().all() and not table["has_expression"].any()


def test_fold_seed_is_the_same_on_every_machine():
    assert fold_seed(1, "image", 0) == int.from_bytes(bytes.fromhex("f0e6fdd0"), "big")
