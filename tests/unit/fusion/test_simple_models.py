"""Prevalence, mean tile features, and what all simple models have in common: against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from fusion_cohort import FAST, Cohort
from simple_models_data import P, parts, three_classes
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from histoweave.fusion import catalog
from histoweave.fusion.bags import BagStore
from histoweave.fusion.fit import fit
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.layers import masked_mean
from histoweave.fusion.models.linear import INVERSE_REGULARISATION
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import read_table

SIMPLE = (
    "majority", "best_gene", "top_pairs", "centroid", "logistic_expression", "logistic_image", "logistic_both",
)  # fmt: skip


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    return three_classes(tmp_path_factory)


def test_complexity_orders_the_catalog():
    infos = [catalog.get(name) for name in catalog.names()]
    assert {info.name: info.complexity for info in infos} == {
        "majority": 0, "best_gene": 1, "top_pairs": 2, "centroid": 3, "logistic_expression": 4, "logistic_image": 4,
        "logistic_both": 5, "image": 6, "expression": 6, "late_mean": 7, "concat": 8, "cross_attention": 9,
    }  # fmt: skip
    assert Fusion().models == list(catalog.names())


def test_majority_is_the_prevalence_of_the_folds_training_patients(cohort, tmp_path):
    found = parts(cohort.run("majority", 0, tmp_path))
    shares = found["train"]["y_true"].value_counts(normalize=True)[["a", "b", "c"]]
    for rows in found.values():
        np.testing.assert_allclose(rows[P], [shares] * len(rows), atol=1e-6)


def raw_means(cohort: Cohort) -> pd.DataFrame:
    bags = BagStore(cohort.slides)
    return pd.DataFrame({patient: bags.load(patient).astype(np.float64).mean(axis=0) for patient in
                         cohort.patients["patient"]}).T  # fmt: skip


@pytest.mark.parametrize("components", [None, 5, 64])
def test_logistic_image_equals_a_pipeline_of_scikit_learn(cohort, tmp_path, components):
    """For one penalty of the grid: scaling and PCA of the training patients' means, fitted on training and validation."""
    out = cohort.run("logistic_image", 0, tmp_path, settings=FAST.model_copy(update={"image_components": components}))
    found, means = parts(out), raw_means(cohort)
    train = means.loc[found["train"].index]
    scaled = StandardScaler().fit(train)
    x = pd.DataFrame(scaled.transform(means), index=means.index)
    if components is not None:
        pca = PCA(min(components, len(train) - 1, 20)).fit(x.loc[train.index])
        x = pd.DataFrame(pca.transform(x) / np.sqrt(pca.explained_variance_.mean()), index=means.index)
    seen = pd.concat([found["train"], found["val"]])
    weights = np.sqrt(compute_sample_weight("balanced", seen["y_true"]))
    differences = []
    for inverse in INVERSE_REGULARISATION:
        model = LogisticRegression(C=inverse, max_iter=5000).fit(x.loc[seen.index], seen["y_true"], weights)
        differences.append(np.abs(model.predict_proba(x.loc[found["test"].index]) - found["test"][P]).max(axis=None))
    assert min(differences) < 2e-3 < max(differences)
    fitted = load_fold(out)
    assert fitted.transforms.image.width == (20 if components is None else min(components, len(train) - 1, 20))


def test_the_mean_of_a_patient_is_over_all_tiles_of_all_slides(cohort):
    bags, two = BagStore(cohort.slides), "P002"
    np.testing.assert_allclose(bags.mean(two), bags.load(two).astype(np.float64).mean(axis=0), rtol=1e-12)
    assert bags.count(two) == cohort.slides.loc[cohort.slides["patient"] == two, "n_tiles"].sum()
    tiles = torch.randn(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    tiles[0, 2:] = float("nan")
    np.testing.assert_allclose(masked_mean(tiles, mask)[0], tiles[0, :2].mean(0), rtol=1e-6)
    assert (masked_mean(tiles, mask)[1] == 0).all()


def test_there_are_fewer_components_than_training_patients(cohort, tmp_path):
    folds = cohort.folds[cohort.folds["fold"] == 0]
    train = folds[folds["role"] == "train"].merge(cohort.patients)
    few = pd.concat([train.groupby("label").head(2)["patient"], folds.loc[folds["role"] != "train", "patient"]])
    out = cohort.run("logistic_image", 0, tmp_path, folds=folds[folds["patient"].isin(few)], settings=Fusion())
    assert load_fold(out).transforms.image.width == 5


def test_fitting_reads_each_bag_once(cohort, monkeypatch):
    read = []
    original = BagStore.mean
    monkeypatch.setattr(BagStore, "mean", lambda self, patient: read.append(patient) or original(self, patient))
    monkeypatch.setattr(BagStore, "load", lambda *_, **__: pytest.fail("a bag is read again"))
    from histoweave.fusion.patients import PatientSet

    everyone = PatientSet.of(cohort.patients, slides=cohort.slides, expression=None, classes=cohort.classes)
    ids = everyone.ids
    parts = {"train_patients": everyone.subset(ids[:40]), "val_patients": everyone.subset(ids[40:])}
    fit("logistic_image", **parts, classes=cohort.classes, settings=FAST, seed=0, device="cpu", needs={})
    assert read == ids


@pytest.mark.parametrize("model", SIMPLE)
def test_a_class_without_training_patients_is_ruled_out(cohort, tmp_path, model):
    folds = cohort.folds.merge(cohort.patients[["patient", "label"]])
    folds = folds[(folds["fold"] == 0) & ~((folds["role"] == "train") & (folds["label"] == "c"))]
    if model.startswith("logistic"):  # those are fitted on validation patients too
        folds = folds[~((folds["role"] == "val") & (folds["label"] == "c"))]
    out = cohort.run(model, 0, tmp_path, folds=folds.drop(columns="label"))
    table = read_table(out / "predictions.parquet")
    assert (table["p_c"] == 0).all() and np.allclose(table[P].sum(axis=1), 1) and load_fold(out).info.name == model


@pytest.mark.parametrize("model", ["top_pairs", "centroid", "logistic_image"])
def test_patients_without_a_modality_are_left_out(cohort, tmp_path, model):
    modality = next(iter(catalog.get(model).modalities))
    lacking = set(cohort.patients["patient"].iloc[::7])
    patients = cohort.patients.copy()
    patients.loc[patients["patient"].isin(lacking), f"has_{modality}"] = False
    changes = {"patients": patients}
    if modality == "expression":
        changes["expression"] = cohort.expression[~cohort.expression["patient"].isin(lacking)]
    else:
        changes["slides"] = cohort.slides[~cohort.slides["patient"].isin(lacking)]
    table = read_table(cohort.run(model, 0, tmp_path, **changes) / "predictions.parquet")
    assert set(table["patient"]) == set(patients["patient"]) - lacking
