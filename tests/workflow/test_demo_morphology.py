"""The demo's morphology of the classes, whole: the planted nuclei are seen, and the numbers are what they are called."""

import io

import cv2
import numpy as np
import openslide
import pandas as pd
import pytest
from PIL import Image

from histoweave.explain.morphology_file import read_morphology
from histoweave.explain.tile_measures import MEASURES
from histoweave.simulate.truth import planted_share
from histoweave.slides.store import read_tiles
from histoweave.storage.files import read_json, read_table
from histoweave.storage.records import read_index

NEGATIVE, POSITIVE = "Luminal", "Basal_Her2"
TILE_UM = 112.0


@pytest.fixture(scope="module")
def morphology(explained):
    return read_table(explained / "morphology.parquet").set_index(["class", "measure"]).sort_index()


@pytest.fixture(scope="module")
def seen(explained):
    return {path.stem: read_morphology(path) for path in (explained / "morphology").glob("*.h5")}


def test_the_planted_nuclei_are_seen(morphology):
    """Planted are nuclei that are larger, darker and more crowded than the patient's ordinary ones."""
    for measure in ("nuclei_share", "haematoxylin_od", "nucleus_area_um2"):
        row = morphology.loc[POSITIVE, measure]
        assert row["ci_low"] > 1 and row["difference_low"] > 0 and row["n"] >= 20, measure
        assert morphology.loc[(NEGATIVE, measure), "ci_high"] < 0, measure
    first = morphology.loc[POSITIVE].sort_values("rank").index[:3]
    assert set(first) == {"nuclei_share", "haematoxylin_od", "nucleus_area_um2"}


def test_everything_was_measured(results, morphology):
    assert len(morphology) == 2 * len(MEASURES) and (morphology["note"] == "").all()
    patients = read_table(results / "cohort/patients.parquet")
    explained = patients[patients["included"] & patients["has_image"]]
    counts = explained["label"].value_counts()
    assert (morphology["n"] == morphology.index.get_level_values("class").map(counts)).all()
    np.testing.assert_allclose(morphology["mean"] * morphology["sd"], morphology["difference"])


def test_leading_tiles_are_those_of_the_patients(explained, seen):
    """Of patients who were called what they are: the page's browser of patients ranks by the call."""
    patients = read_table(explained / "patients.parquet")
    tiles = pd.concat([each.tiles.assign(slide=slide) for slide, each in seen.items()]).set_index("slide")
    right = patients[(patients["called"] == patients["y_true"]) & (patients["top_tiles"].str.len() > 0)]
    for row in right.head(10).itertuples():
        for flag, given in (("leading", row.top_tiles), ("trailing", row.bottom_tiles)):
            expected = {(tile["slide"], tile["x_lv0"], tile["y_lv0"]) for tile in given}
            own = tiles.loc[tiles.index.isin({tile["slide"] for tile in given}) & tiles[flag]]
            assert expected <= set(zip(own.index, own["x_lv0"], own["y_lv0"], strict=True))


def test_measures_follow_the_planted_share_of_each_tile(results, seen):
    """Per tile, against the simulation's own truth, of slides that hold both kinds."""
    slides = read_table(results / "cohort/slides.parquet").set_index("slide")
    found = []
    for slide, each in seen.items():
        squares = read_table(results / f"simulated/truth/{slide}.parquet")
        corners_um = each.tiles[["x_lv0", "y_lv0"]].to_numpy() * slides.loc[slide, "level0_mpp"]
        share = planted_share(corners_um, tile_um=TILE_UM, squares=squares)
        if (share > 0.5).any() and (share < 0.1).any():
            found.append(np.corrcoef(share, each.tiles["nuclei_share"])[0, 1])
    assert len(found) >= 20 and np.median(found) > 0.8


def test_every_explained_slide_has_its_file_and_pictures_of_its_own_pixels(results, explained, seen):
    records = [r for index in (explained / "morphology/shards").glob("*.json") for r in read_index(index)]
    assert (
        {record.slide for record in records}
        == set(seen)
        == {path.stem for path in (explained / "overlays").glob("*.png")}
    )
    assert all(record.outcome.status == "ok" for record in records)
    slide = "TCGA-ZA-0003-01Z-00-DX1"
    tile = seen[slide].tiles.query("leading").iloc[0]
    attributes = read_tiles(results / f"tiles/{slide}.h5").attributes
    path = read_table(results / "cohort/slides.parquet").set_index("slide").loc[slide, "path"]
    edge_lv0 = attributes["patch_size_level0"]
    with openslide.OpenSlide(results.parents[1] / path) as scan:
        region = np.asarray(scan.read_region((tile["x_lv0"], tile["y_lv0"]), 0, (edge_lv0, edge_lv0)))[..., :3]
    with Image.open(io.BytesIO(tile["picture"])) as picture:
        shown = np.asarray(picture.convert("RGB")).astype(int)
    expected = cv2.resize(region, shown.shape[1::-1], interpolation=cv2.INTER_AREA).astype(int)
    assert max(shown.shape) == 96 and np.abs(shown - expected).mean() < 8


def test_strips_and_sentences_stand_on_the_page(results, explained):
    tiles = read_table(explained / "class_tiles.parquet")
    assert tiles["class"].value_counts().to_dict() == {NEGATIVE: 12, POSITIVE: 12}
    assert tiles.groupby(["class", "patient"]).size().max() <= 2 and tiles["picture"].str.len().max() <= 4000
    page = (results / "report.html").read_text(encoding="utf-8")
    section = page.partition('<section id="morphology"')[2].partition("</section>")[0]
    assert section.count('<img src="data:image/webp') == 24 and section.count('alt="Tile of patient TCGA-') == 24
    assert (
        "Basal_Her2: compared with other tiles of the same patients, the tiles that speak for the class have a larger area"
        in section
    )
    assert "not a validated segmentation" in section
    table = read_json(results / "report.json")["explain"]["morphology"]
    assert len(table) == 2 * len(MEASURES) and {"mean", "ci_low", "ci_high", "difference", "unit"} <= set(table[0])
