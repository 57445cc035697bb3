"""The demo's explanations, whole: they find what was planted, are faithful, and each is what it is called."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from histoweave.explain.attribution import log_odds
from histoweave.fusion.fitted import load_fold
from histoweave.fusion.patients import PatientSet
from histoweave.slides.store import read_tiles
from histoweave.storage.files import read_table
from histoweave.storage.records import read_index

CLASSES = ["Luminal", "Basal_Her2"]
N_FOLDS = 5


@pytest.fixture(scope="module")
def tests(explained):
    return read_table(explained / "tests.parquet").set_index(["test", "modality", "order"]).sort_index()


def folds(explained, name):
    return pd.concat([read_table(explained / f"fold{k}/{name}.parquet").assign(k=k) for k in range(N_FOLDS)])


# ---------------------------------------------------------------- it finds what was planted, and is faithful


def test_planted_tiles_lead_the_attribution_for_the_positive_class(tests):
    row = tests.loc[("planted_tiles_auroc", "image", "attribution")]
    assert row["estimate"] >= 0.85 and row["passed"] and row["n"] >= 30


def test_planted_genes_are_among_the_first_twenty(explained, tests):
    row = tests.loc[("planted_genes_recall", "expression", "attribution")]
    assert row["estimate"] >= 0.8 and row["passed"]
    genes = read_table(explained / "genes.parquet")
    first = genes[(genes["class"] == "Basal_Her2") & (genes["rank"] <= 5)]
    assert not first["gene"].str.startswith("SIM").any()


@pytest.mark.parametrize("modality", ["image", "expression"])
def test_taking_away_what_matters_first_beats_random_order(tests, modality):
    for test in ("deletion_gain", "insertion_gain"):
        row = tests.loc[(test, modality, "attribution")]
        assert row["ci_low"] > 0 and row["passed"] and "is faithful here" in row["says"]


def test_attribution_is_more_faithful_than_attention_and_attention_is_judged_too(tests):
    for test in ("deletion_gain", "insertion_gain"):
        attribution, attention = (tests.loc[(test, "image", order)] for order in ("attribution", "attention"))
        assert attribution["estimate"] > attention["estimate"]
        assert attention["passed"] == (attention["ci_low"] > 0)
        assert attention["passed"] == ("not faithful" not in attention["says"])


def test_other_folds_explain_alike(tests):
    for modality in ("image", "expression"):
        assert tests.loc[("stability", modality, "attribution"), "passed"]


# ---------------------------------------------------------------- the numbers are what they are called


def test_each_patient_is_explained_by_the_model_that_never_saw_it(results, explained):
    splits = read_table(results / "folds.parquet")
    test = splits[splits["role"] == "test"].set_index("patient")["fold"]
    for name in ("tiles", "genes", "faithfulness", "stability"):
        table = folds(explained, name)
        assert (table["k"] == table["patient"].map(test)).all()
    patients = read_table(explained / "patients.parquet")
    assert patients["patient"].is_unique and (patients["fold"] == patients["patient"].map(test)).all()
    predictions = read_table(results / "predictions.parquet")
    own = predictions[predictions["model"] == "cross_attention"].set_index("patient").loc[patients["patient"]]
    p = own[[f"p_{name}" for name in CLASSES]].to_numpy()
    assert [CLASSES[i] for i in p.argmax(axis=1)] == patients["called"].tolist()
    np.testing.assert_allclose(p.max(axis=1), patients["p_called"])


def test_attributions_add_up_to_the_log_odds(results, explained):
    tables = [read_table(results / path) for path in ("cohort/patients.parquet", "cohort/slides.parquet")]
    everyone = PatientSet.of(
        tables[0], slides=tables[1].assign(features=[str(results.parents[1] / f) for f in tables[1]["features"]]),
        expression=read_table(results / "expression/expression.parquet"), classes=CLASSES,
    )  # fmt: skip
    fitted = load_fold(results / "fusion/cross_attention/fold0")
    fitted.module.eval()
    parts = [read_table(explained / f"fold0/{name}.parquet") for name in ("tiles", "genes")]
    sums = sum(part.groupby("patient")["a_Basal_Her2"].sum() for part in parts).dropna()
    batcher = fitted.batcher(everyone.subset(sums.index))
    for patient in sums.index[:5]:
        batch = batcher.batch([patient], [patient])
        zero = batch._replace(tiles=0 * batch.tiles, genes=0 * batch.genes)
        own, baseline = (log_odds(fitted.module(*part).logits)[0, 1].item() for part in (batch, zero))
        assert sums[patient] == pytest.approx(own - baseline, abs=1e-3 * max(1, abs(own - baseline)))


def test_patients_without_a_modality_are_explained_by_the_other(explained):
    tiles, genes = folds(explained, "tiles"), folds(explained, "genes")
    assert "TCGA-ZD-0007" not in set(tiles["patient"]) and "TCGA-ZD-0007" in set(genes["patient"])
    assert "TCGA-ZB-0012" in set(tiles["patient"]) and "TCGA-ZB-0012" not in set(genes["patient"])
    patients = read_table(explained / "patients.parquet").set_index("patient")
    assert len(patients.loc["TCGA-ZD-0007", "top_tiles"]) == 0 and len(patients.loc["TCGA-ZB-0012", "cross"]) == 0
    whole = patients.loc["TCGA-ZA-0003"]
    assert 1 <= len(whole["top_tiles"]) <= 8 and len(whole["cross"]) == len(whole["token_genes"]) == 8
    for side, sign in (("top_tiles", 1), ("bottom_tiles", -1)):
        assert all(sign * tile["score"] > 0 for tiles in patients[side] for tile in tiles)


def test_every_tile_has_its_attention_and_attribution(results, explained):
    tiles = folds(explained, "tiles")
    keys = ["patient", "slide", "x_lv0", "y_lv0"]
    attention = pd.concat(
        [read_table(results / f"fusion/cross_attention/fold{k}/attention.parquet") for k in range(N_FOLDS)]
    )
    both = tiles.merge(attention, on=keys, suffixes=("", "_fitted"))
    assert len(both) == len(tiles) == len(attention)
    np.testing.assert_allclose(both["attention"], both["attention_fitted"], atol=1e-6)
    np.testing.assert_array_equal(tiles["a_Luminal"], -tiles["a_Basal_Her2"])


# ---------------------------------------------------------------- on the slides


def test_overlays_lie_on_the_thumbnails_and_qupath_gets_every_tile(results, explained):
    tiles = folds(explained, "tiles")
    for kind, suffix in (("overlays", "png"), ("geojson", "geojson")):
        found = {r.slide for index in (explained / kind / "shards").glob("*.json") for r in read_index(index)}
        assert found == set(tiles["slide"]) == {path.stem for path in (explained / kind).glob(f"*.{suffix}")}
    slide = "TCGA-ZA-0003-01Z-00-DX1"
    own = tiles[tiles["slide"] == slide]
    with (
        Image.open(explained / f"overlays/{slide}.png") as overlay,
        Image.open(results / f"tiles/{slide}.png") as below,
    ):
        assert overlay.mode == "RGBA" and overlay.size == below.size
        alpha = np.asarray(overlay)[..., 3]
    table = read_tiles(results / f"tiles/{slide}.h5")
    area = len(own) * table.attributes["patch_size_level0"] ** 2
    covered = area / (table.attributes["level0_width"] * table.attributes["level0_height"])
    assert (alpha > 0).mean() == pytest.approx(covered, rel=0.02)
    collection = json.loads((explained / f"geojson/{slide}.geojson").read_text())
    corners = {tuple(f["geometry"]["coordinates"][0][0]) for f in collection["features"]}
    assert corners == set(zip(own["x_lv0"], own["y_lv0"], strict=True))


def test_planted_tiles_are_redder_than_the_others(results, explained):
    """Read off the picture itself, on a positive patient's slide."""
    truth = pd.concat(map(read_table, sorted((results / "simulated/truth").glob("TCGA-ZA-0003*.parquet"))))
    slide = "TCGA-ZA-0003-01Z-00-DX1"
    squares = truth[truth["slide"] == slide]
    picture = cv2.imread(str(explained / f"overlays/{slide}.png"), cv2.IMREAD_UNCHANGED).astype(int)
    attributes = read_tiles(results / f"tiles/{slide}.h5").attributes
    per_um = picture.shape[1] / (attributes["level0_width"] * attributes["level0_mpp"])
    centre = ((squares[["x_um", "y_um"]] + squares[["edge_um"]].to_numpy() / 2) * per_um).astype(int)
    inside = (centre["x_um"] < picture.shape[1]) & (centre["y_um"] < picture.shape[0])
    blue, _, red, alpha = picture[centre["y_um"][inside], centre["x_um"][inside]].T
    planted = squares["planted_share"][inside].to_numpy() > 0.5
    redness = (red - blue) * (alpha > 0)
    assert redness[planted & (alpha > 0)].mean() > redness[~planted & (alpha > 0)].mean() + 20
