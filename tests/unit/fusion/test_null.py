"""Models refitted on shuffled labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fusion_cohort import FAST, Cohort, make_cohort, tile_files
from sklearn.metrics import roc_auc_score

from histoweave.cohort.shuffles import make_shuffles
from histoweave.evaluation.null import MATCHED, PLAIN, null_table
from histoweave.fusion import catalog
from histoweave.fusion.models import needed
from histoweave.fusion.models.best_gene import gene_scores
from histoweave.fusion.null import (
    refit,
    refit_shuffles,
    relabelled,
)
from histoweave.settings.folds import Folds
from histoweave.storage.files import read_table


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    return make_cohort(tmp_path_factory.mktemp("features"), seed=2, n=32, n_features=12, n_genes=60, n_folds=2)


@pytest.fixture(scope="module")
def shuffled(cohort):
    """Labels and folds of three shuffles."""
    return make_shuffles(cohort.patients, shuffles=3, settings=Folds(n_folds=2), seed=1)[:2]


def given(cohort: Cohort) -> dict:
    return {
        "slides": cohort.slides,
        "expression": cohort.expression,
        "classes": cohort.classes,
        "settings": FAST,
        "seed": 1,
    }


def given_tiles(cohort: Cohort, folder: Path, model: str) -> dict:
    """The summary and the projected tiles of the true folds, as far as a model reads them."""
    known = {name: getattr(cohort, name) for name in ("patients", "slides", "folds")}
    files = tile_files(folder, **known, seed=1, settings=FAST)
    info = catalog.get(model)
    read = {"summary": catalog.IMAGE in info.modalities, "projected": info.neural and catalog.IMAGE in info.modalities}
    return {name: file for name, file in files.items() if read[name]}


@pytest.mark.parametrize("model", ["majority", "best_gene", "logistic_image", "image"])
def test_a_refit_predicts_what_the_folds_jobs_would(cohort, tmp_path, model):
    tiles = given_tiles(cohort, tmp_path / "tiles", model)
    table = refit(model, patients=cohort.patients, folds=cohort.folds, device="cpu", **given(cohort), **tiles)
    parts = [read_table(cohort.run(model, k, tmp_path / f"fold{k}") / "predictions.parquet") for k in range(2)]
    expected = pd.concat(parts)
    expected = expected[expected["role"] == "test"].reset_index(drop=True)
    pd.testing.assert_frame_equal(table[list(expected)], expected)


def test_the_mean_of_the_modalities_is_what_the_model_says(cohort, tmp_path):
    patients = cohort.patients.set_index("patient")
    patients.loc["P000", "has_image"] = False
    lacking = {"patients": patients.reset_index(), "slides": cohort.slides[cohort.slides["patient"] != "P000"]}
    done = {}
    for model in ("image", "expression", "late_mean"):
        needs = {name: done[name] for name in catalog.get(model).needs}
        done[model] = cohort.run(model, 0, tmp_path / model, needs=needs, **lacking)
    table = {
        model: read_table(folder / "predictions.parquet").assign(role="test", shuffle=0)
        for model, folder in done.items()
    }
    expected = table.pop("late_mean")
    mean = needed("late_mean", "combine")(table).set_index("patient")
    assert set(mean.index) == set(expected["patient"])
    np.testing.assert_allclose(mean.loc[expected["patient"], "p_pos"], expected["p_pos"], atol=1e-6)


def test_every_model_that_is_made_of_others_can_be_put_together():
    made_of_others = [name for name in catalog.names() if catalog.get(name).needs]
    assert made_of_others and all(callable(needed(name, "combine")) for name in made_of_others)


@pytest.mark.parametrize(
    "model", [name for name in catalog.names() if not (catalog.get(name).neural or catalog.get(name).needs)]
)
def test_every_reference_is_refitted_on_every_shuffle(cohort, shuffled, tmp_path, model):
    labels, folds = shuffled
    how = given(cohort) | {"patients": cohort.patients, "labels": labels, "folds": folds}
    summary = given_tiles(cohort, tmp_path, model).get("summary")
    table = refit_shuffles(model, device="cpu", summary=summary, **how)
    assert table.groupby("shuffle")["patient"].apply(sorted).map(len).eq(32).all()
    true = labels.set_index(["shuffle", "patient"])["label"]
    assert (true.loc[list(zip(table["shuffle"], table["patient"], strict=True))].to_numpy() == table["y_true"]).all()
    groups = labels.drop_duplicates("patient").set_index("patient")["group"]
    null = null_table([(model, table)], groups=groups, classes=cohort.classes, modalities=["image", "expression"])
    assert len(null) == 6 and set(null["metric"]) == {PLAIN, MATCHED} and null["value"].between(0, 1).all()
    one = table[table["shuffle"] == 1]
    value = null[(null["shuffle"] == 1) & (null["metric"] == PLAIN)]["value"].item()
    assert value == pytest.approx(roc_auc_score(one["y_true"] == "pos", one["p_pos"]))


def test_the_shuffles_of_a_network_are_those_of_the_references(cohort, shuffled):
    labels, folds = shuffled
    own = labels[labels["shuffle"] == 2]
    how = given(cohort) | {"patients": cohort.patients, "device": "cpu"}
    table = refit_shuffles("expression", labels=own, folds=folds, **how)
    assert set(table["shuffle"]) == {2} and len(table) == 32
    test = folds[(folds["shuffle"] == 2) & (folds["role"] == "test")].set_index("patient")["fold"]
    assert (table.set_index("patient")["fold"] == test).all()


def test_labels_of_patients_that_were_not_shuffled_stay(cohort):
    labels = pd.DataFrame({"patient": ["P001"], "label": ["other"]})
    table = relabelled(cohort.patients, labels).set_index("patient")["label"]
    assert table["P001"] == "other" and table["P000"] == cohort.patients["label"].iloc[0]


def test_gene_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    genes, labels = rng.integers(5, size=(40, 30)).astype(float), rng.integers(3, size=40)
    expected = [np.mean([abs(roc_auc_score(labels == c, column) - 0.5) for c in range(3)]) for column in genes.T]
    np.testing.assert_allclose(gene_scores(genes, labels), expected, atol=1e-12)
