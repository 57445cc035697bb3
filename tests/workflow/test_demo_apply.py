"""The demo's other hospital: predicted by frozen models, in the run that made them and in a folder without them."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from running import planned, snakemake

from histoweave.apply.contents import SCORES
from histoweave.apply.measures import RESIDUAL, TOTAL
from histoweave.apply.read import read_manifest
from histoweave.simulate.external_tables import WITHOUT_RNA, WITHOUT_SLIDE
from histoweave.storage.files import read_json, read_table, sha256_of

CONFIG = ("--configfile", "config/demo/config.yaml")
TOLERANT = ("majority", "late_mean", "cross_attention")
LABELLED = ("y_true",)


@pytest.fixture(scope="module")
def applied(demo):
    return demo / "results" / "hospital_b" / "applied" / "demo"


def same_predictions(one, other):
    """The same but for what was known of the patients, to 1e-6."""
    columns = [column for column in one if column not in (*LABELLED, "site")]
    numbers = [column for column in columns if one[column].dtype == np.float64]
    pd.testing.assert_frame_equal(
        one[columns].drop(columns=numbers), other[columns].drop(columns=numbers), check_dtype=False
    )
    np.testing.assert_allclose(one[numbers], other[numbers], atol=1e-6, equal_nan=True)


# ---------------------------------------------------------------- in the run that made the models


def test_everybody_is_predicted_by_all_that_can(applied):
    table = read_table(applied / "predictions.parquet")
    assert table.groupby("model")["patient"].nunique().eq(36).all() and table["model"].nunique() == 12
    for model, rows in table.groupby("model"):
        status = rows.set_index("patient")["status"]
        lost = set(status.index[status == "cannot"])
        of_images = {"image": WITHOUT_SLIDE, "logistic_image": WITHOUT_SLIDE}
        expected = (of_images | dict.fromkeys(("concat", "logistic_both"), (*WITHOUT_SLIDE, *WITHOUT_RNA))).get(
            model, WITHOUT_RNA
        )
        assert lost == (set() if model in TOLERANT else set(expected)), model
        assert rows.loc[rows["status"] == "cannot", "reason"].str.startswith("no ").all()
    assert set(table["status"]) == {"ok", "cannot"}, "another stain and half the depth are not withheld"
    judged = read_table(applied / "plausible.parquet")
    assert set(judged["modality"]) == {"image", "expression"} and (judged["reason"] == "").all()
    print("largest shares outside:", judged.groupby("modality")[["share", "share_medians"]].max().to_dict())
    known = table[table["status"] == "ok"]
    np.testing.assert_allclose(known[["p_Luminal", "p_Basal_Her2"]].sum(axis=1), 1)
    assert known["n_models"].eq(5).all() and known["entropy"].between(0, np.log(2) + 1e-9).all()


def test_models_of_both_modalities_hold_elsewhere(applied):
    metrics = read_table(applied / "metrics.parquet")
    auroc = metrics[(metrics["metric"] == "auroc") & (metrics["scope"] == "pooled")].set_index("model")
    assert auroc.loc["cross_attention", "estimate"] >= 0.9 and auroc.loc["cross_attention", "ci_low"] > 0.7
    assert auroc.loc["cross_attention", "estimate"] > auroc.loc["image", "estimate"]
    assert auroc["n"].eq(32).all()
    scopes = set(metrics["scope"])
    assert {"pooled", "incomplete", "site:north", "site:south", "class:Luminal", "class:Basal_Her2"} == scopes


def test_sets_reach_their_coverage_within_the_binomial_interval(demo, applied):
    coverage = read_table(applied / "coverage.parquet")
    assert SCORES in read_manifest(demo / "results/demo/bundle.zip").files
    assert set(coverage["kind"]) == {"marginal", "class"}
    pooled = coverage[(coverage["scope"] == "pooled") & (coverage["kind"] == "marginal")]
    assert set(pooled["model"]) == set(read_table(demo / "results/demo/predictions.parquet")["model"])
    assert (pooled["ci_high"] >= pooled["level"]).all(), pooled.to_string()


def test_the_other_stain_and_depth_are_seen(applied):
    drift = read_table(applied / "drift.parquet").set_index(["site", "feature"])
    assert {"all", "north", "south"} == set(drift.index.get_level_values("site"))
    assert drift.loc[("all", TOTAL), "flagged"] and drift.loc[("all", RESIDUAL), "flagged"]
    assert not drift.loc[("all", "share of genes outside the training range"), "flagged"]
    content = read_json(applied / "compatibility.json")
    assert {check["status"] for check in content["checks"]} == {"ok"} and content["missing_genes"] == []


def test_no_model_is_ever_fitted_on_it(demo):
    assert not (demo / "results/hospital_b/folds.parquet").exists()
    for wanted in ("results/hospital_b/folds.parquet", "results/hospital_b/report.html"):
        assert snakemake("-n", wanted, *CONFIG, directory=demo, check=False).returncode != 0


# ---------------------------------------------------------------- elsewhere


@pytest.fixture(scope="module")
def elsewhere(demo, tmp_path_factory):
    """Another folder: the hospital's own files as a user would have them, without labels, and the bundle."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(demo / "results/hospital_b/simulated/slides", folder / "slides")
    shutil.copy(demo / "results/hospital_b/simulated/expression.tsv.gz", folder)
    shutil.copy(demo / "results/demo/bundle.zip", folder)
    patients = pd.read_csv(demo / "config/demo/hospital_b_patients.tsv", sep="\t", dtype=str)
    patients.drop(columns="label").to_csv(folder / "patients.tsv", sep="\t", index=False)
    slides = pd.read_csv(demo / "config/demo/hospital_b_slides.tsv", sep="\t", dtype=str)
    slides = slides.assign(path="slides/" + slides["slide"] + ".tiff")
    slides.to_csv(folder / "slides.tsv", sep="\t", index=False)
    raw = yaml.safe_load((demo / "config/demo/config.yaml").read_text())
    config = {
        "cohorts": {
            "away": {
                "role": "external",
                "patients": "patients.tsv",
                "slides": "slides.tsv",
                "expression": {"path": "expression.tsv.gz", "unit": "counts"},
            }
        },
        "features": raw["features"],
        "apply": {"bundle": "bundle.zip"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake("apply", "--cores", 2, "--configfile", "config.yaml", directory=folder)
    return folder


def test_a_bundle_gives_the_same_elsewhere_without_training_data_or_labels(applied, elsewhere):
    found = elsewhere / "results/away/applied/demo"
    same_predictions(read_table(applied / "predictions.parquet"), read_table(found / "predictions.parquet"))
    assert read_table(found / "metrics.parquet").empty and read_table(found / "coverage.parquet").empty
    assert read_table(found / "predictions.parquet")["y_true"].isna().all()
    assert not any(elsewhere.glob("results/*/fusion")) and not any(elsewhere.glob("results/*/folds.*"))


def test_labels_that_come_later_change_no_prediction_and_no_byte_of_the_bundle(demo, elsewhere):
    found = elsewhere / "results/away/applied/demo"
    before, bundle = read_table(found / "predictions.parquet"), sha256_of(elsewhere / "bundle.zip")
    assert bundle == sha256_of(demo / "results/demo/bundle.zip")
    patients = pd.read_csv(demo / "config/demo/hospital_b_patients.tsv", sep="\t", dtype=str)
    shuffled = np.random.default_rng(1).permutation(patients["label"])
    patients.assign(label=shuffled).to_csv(elsewhere / "patients.tsv", sep="\t", index=False)
    config = ("--configfile", "config.yaml")
    jobs = planned(snakemake("-n", "apply", *config, directory=elsewhere))
    assert set(jobs) - {"apply"} == {"cohort", "compare_with_bundle", "apply_bundle", "applied_report"}
    snakemake("apply", "--cores", 2, *config, directory=elsewhere)
    after = read_table(found / "predictions.parquet")
    same_predictions(before, after)
    pd.testing.assert_frame_equal(before.drop(columns="y_true"), after.drop(columns="y_true"))
    assert after["y_true"].notna().all() and not read_table(found / "metrics.parquet").empty
    assert sha256_of(elsewhere / "bundle.zip") == bundle
