"""The demo's two laboratories, whole: what concepts must find, what they must not have seen, and what reruns."""

import importlib
import importlib.util
import os

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from running import planned, snakemake
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from histoweave.concepts.activations import ImageActivations
from histoweave.sae.format import load
from histoweave.sae.tokens import Tokens, cell_blocks
from histoweave.storage.files import read_table

CONFIG = ("--configfile", "config/demo/config.yaml")
N_FOLDS = 5
SHARD = "cells/efficientnet_lite0/0-of-1.h5"


@pytest.fixture(scope="module")
def results(demo):
    return demo / "results" / "lab_a" / "sae" / "cells"


@pytest.fixture(scope="module")
def images(results):
    return read_table(results / "images.parquet")


@pytest.fixture(scope="module")
def tokens(demo):
    return Tokens(cell_blocks(str(demo / "results/lab_a" / SHARD)))


def pooled(table, metric, level="image"):
    rows = table[(table["metric"] == metric) & (table["scope"] == "pooled") & (table["level"] == level)]
    return rows.set_index("representation")["estimate"]


# ---------------------------------------------------------------- what it must find


def test_concepts_tell_cell_types_about_as_well_as_the_tokens_do(results):
    accuracy = pooled(read_table(results / "scores/metrics.parquet"), "balanced_accuracy")
    assert accuracy["concepts"] >= max(0.9, accuracy["raw"] - 0.05)


def test_single_concepts_find_what_the_cells_were_drawn_from(results):
    probes = read_table(results / "scores/probes.parquet")
    found = probes[(probes["scope"] == "pooled") & (probes["representation"] == "concepts")]
    best = found.groupby("target")["auroc"].max()
    assert set(best.index) == {"label", "size", "lobes", "granules", "colour"}
    assert (best >= 0.85).all() and best["label"] >= 0.9
    assert found.set_index(["target", "value"]).loc[("granules", "coarse"), "auroc"] >= 0.85
    assert (found["ci_low"] > 0.5).all() and (found["n_images"] == 480).all()


def test_another_laboratory_is_explained_less_well(results):
    shift = read_table(results / "on/lab_b/shift.parquet").set_index("measure")
    assert shift.loc["explained_variance", "external"] < shift.loc["explained_variance", "train"] - 0.1
    for measure in ("alive_share", "jaccard", "spearman_firing_rate"):
        assert 0 < shift.loc[measure, "external"] < 1
    transferred = pooled(read_table(results / "on/lab_b/transfer.parquet"), "balanced_accuracy")
    here = pooled(read_table(results / "scores/metrics.parquet"), "balanced_accuracy")
    assert transferred["concepts"] < here["concepts"]


# ---------------------------------------------------------------- the numbers are what they are called


@pytest.mark.parametrize("laboratory", ["lab_a", "lab_b"])
def test_patient_vectors_are_means_over_the_patients_images(demo, results, laboratory):
    found = ImageActivations.load(results / f"on/{laboratory}/activations.h5")
    images = read_table(demo / f"results/{laboratory}/sae/cells/images.parquet").set_index("image").loc[found.images]
    expected = pd.DataFrame(found.mean.toarray().astype(np.float64)).groupby(images["patient"].to_numpy()).mean()
    table = read_table(results / f"on/{laboratory}/patients.parquet")
    vectors = table.pivot(index="patient", columns="concept", values="mean").reindex(columns=expected.columns).fillna(0)
    assert (table["n_images"] == 20).all() and (table["mean"] > 0).all()
    pd.testing.assert_frame_equal(vectors, expected, check_names=False, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("metrics", "predictions"),
    [
        ("scores/metrics.parquet", "scores/predictions.parquet"),
        ("on/lab_b/transfer.parquet", "on/lab_b/transfer_predictions.parquet"),
    ],
)
def test_metrics_are_those_of_scikit_learn(results, metrics, predictions):
    metrics, predictions = read_table(results / metrics), read_table(results / predictions)
    for (level, name), rows in predictions.groupby(["level", "representation"]):
        p = rows.filter(regex="^p_").dropna(axis=1)
        classes = [column.removeprefix("p_") for column in p]
        assert set(classes) == set(rows["y_true"])
        said = np.array(classes)[p.to_numpy().argmax(axis=1)]
        ranked = classes if len(classes) > 2 else classes[-1:]
        one_against_rest = [roc_auc_score(rows["y_true"] == of, p[f"p_{of}"]) for of in ranked]
        expected = {
            "balanced_accuracy": balanced_accuracy_score(rows["y_true"], said),
            "f1_macro": f1_score(rows["y_true"], said, average="macro"),
            "auroc": np.mean(one_against_rest),
        }
        for metric, value in expected.items():
            assert pooled(metrics, metric, level)[name] == pytest.approx(value, abs=1e-9), (level, name, metric)


def test_every_image_is_predicted_once_by_a_model_that_never_saw_its_patient(results, images):
    folds = read_table(results / "folds.parquet")
    tested = folds[folds["role"] == "test"].set_index("patient")["fold"]
    assert tested.index.is_unique and set(tested.index) == set(images["patient"])
    rows = read_table(results / "scores/predictions.parquet").query("level == 'image' and representation == 'concepts'")
    assert sorted(rows["image"]) == sorted(images["image"])
    assert (rows["fold"].to_numpy() == tested[rows["patient"]].to_numpy()).all()


# ---------------------------------------------------------------- what was fitted on what


def test_a_folds_dictionary_never_saw_the_patients_it_is_tested_on(results, images, tokens):
    folds = read_table(results / "folds.parquet")
    for k in range(N_FOLDS):
        test = folds.loc[(folds["fold"] == k) & (folds["role"] == "test"), "patient"]
        kept = images.loc[~images["patient"].isin(test), "image"]
        sae = load(results / f"fold{k}")
        assert sae.metadata["n_images"] == len(kept) < len(images)
        values = np.concatenate([values for _, values in tokens.select(kept).batches(1 << 16)])
        assert sae.metadata["n_tokens"] == len(values)
        np.testing.assert_allclose(sae.training_mean, values.mean(axis=0, dtype=np.float64), rtol=1e-4, atol=1e-5)


def test_nothing_that_was_fitted_knows_the_other_laboratory(demo, results):
    patients = set(read_table(demo / "results/lab_b/sae/cells/images.parquet")["patient"])
    fitted = [path for path in results.rglob("*") if path.is_file() and "lab_b" not in path.relative_to(results).parts]
    assert sum(path.name == "cfg.json" for path in fitted) == 3 + N_FOLDS
    for path in fitted:
        if path.suffix == ".parquet":
            table = read_table(path)
            said = {str(value) for column in table.select_dtypes(["object", "string"]) for value in table[column]}
            assert not said & {"lab_b", *patients}, path
        elif path.suffix != ".svg":  # the page's figures, which compare the two
            assert b"lab_b" not in path.read_bytes(), path


def test_saelens_reads_the_dictionary_and_encodes_alike(results, tokens):
    if importlib.util.find_spec("sae_lens") is None and "CI" not in os.environ:
        pytest.skip("sae_lens is not installed")
    ours, theirs = load(results / "seed0"), importlib.import_module("sae_lens").SAE.load_from_disk(results / "seed0")
    _, values = next(tokens.batches(1024))
    batch = torch.from_numpy(values)
    with torch.no_grad():
        encoded = theirs.encode(batch)
        assert (ours.encode(batch) > 0).any()
        assert (encoded - ours.encode(batch)).abs().max() < 1e-5
        assert (theirs.decode(encoded) - ours.decode(encoded)).abs().max() < 1e-5


# ---------------------------------------------------------------- what reruns


def dry(demo, change=None):
    """Rule → jobs that a dry run of `concepts` plans after a change of the configuration."""
    raw = yaml.safe_load((demo / "config/demo/config.yaml").read_text())
    if change:
        change(raw)
    (demo / "changed.yaml").write_text(yaml.safe_dump(raw))
    jobs = planned(snakemake("-n", "concepts", "--configfile", "changed.yaml", directory=demo))
    jobs.pop("concepts", None)
    return jobs


def test_nothing_to_do_afterwards_and_mechanics_change_nothing(demo):
    mechanics = {"tile_batch": 8, "read_workers": 1, "device": "cpu", "jobs_per_gpu": 2}
    assert dry(demo) == {}
    assert dry(demo, lambda raw: raw.update(mechanics=mechanics)) == {}


def test_a_change_of_the_other_laboratory_fits_nothing_again(demo):
    jobs = dry(demo, lambda raw: raw["cohorts"]["lab_b"]["cells"].update(crop=0.9))
    assert jobs == {
        "embed_cells": 1,
        "concept_images": 1,
        "encode_concepts": 1,
        "describe_concepts": 1,
        "transfer_concepts": 1,
        "concept_report": 1,
        "concepts_json": 2,
    }
