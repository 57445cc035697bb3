"""Overlays and QuPath files."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from histoweave.explain.explain_slides import explain_slides, explained_tiles
from histoweave.explain.geojson import write_scores
from histoweave.explain.overlay import draw, frame_px, write_rgba
from histoweave.slides.outlines import thumbnail, write_png
from histoweave.slides.store import TileTable, tile_attributes, write_tiles
from histoweave.storage.files import write_json
from histoweave.storage.records import read_index, untrue_indexes


def drawn(coords, values, **changes):
    arguments = {"edge_lv0": 100, "size_lv0": (400, 200), "size_px": (40, 20), "limit": 1.0} | changes
    return draw(np.array(coords), np.array(values), **arguments)


def test_orange_speaks_for_the_class_blue_against_it_and_glass_is_transparent():
    picture = drawn([[0, 0], [100, 0], [200, 100]], [1.0, -1.0, 0.0])
    assert picture.shape == (20, 40, 4) and picture.dtype == np.uint8
    orange, blue, white = picture[5, 5].astype(int), picture[5, 15].astype(int), picture[15, 25].astype(int)
    assert (
        orange[:3].tolist() == [0xE6, 0x9F, 0x00] and blue[:3].tolist() == [0x00, 0x72, 0xB2] and white[:3].min() > 240
    )
    assert orange[3] == blue[3] > white[3] > 0
    covered = picture[..., 3] > 0
    expected = np.zeros((20, 40), bool)
    expected[:10, :20] = expected[10:, 20:30] = True
    np.testing.assert_array_equal(covered, expected)


def test_overlapping_tiles_show_their_mean_and_small_ones_one_pixel():
    np.testing.assert_array_equal(drawn([[0, 0], [0, 0]], [1.0, -1.0]), drawn([[0, 0]], [0.0]))
    assert (drawn([[0, 0]], [1.0], edge_lv0=1)[..., 3] > 0).sum() == 1
    assert drawn([[0, 0]], [0.0], limit=0.0)[0, 0, 3] > 0


@given(st.integers(1, 200_000), st.integers(1, 200_000))
def test_the_frame_is_that_of_the_thumbnail(width, height):
    from histoweave.slides.outlines import THUMBNAIL_PX

    found = frame_px((width, height))
    assert max(found) <= THUMBNAIL_PX and min(found) >= 1
    if max(width, height) <= THUMBNAIL_PX:
        assert found == (width, height)


def test_the_picture_on_disk_has_its_transparency(tmp_path):
    picture = drawn([[0, 0]], [1.0])
    write_rgba(tmp_path / "o.png", picture)
    read = cv2.cvtColor(cv2.imread(str(tmp_path / "o.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    np.testing.assert_array_equal(read, picture)


def test_qupath_gets_a_square_and_the_scores_of_each_tile(tmp_path):
    tiles = pd.DataFrame({"x_lv0": [0, 300], "y_lv0": [100, 0], "attention": [0.5, np.nan], "attribution": [-1.5, 2.0]})
    write_scores(tmp_path / "t.geojson", tiles, edge_lv0=256)
    found = json.loads((tmp_path / "t.geojson").read_text())
    assert found["type"] == "FeatureCollection" and len(found["features"]) == 2
    for feature, row in zip(found["features"], tiles.itertuples(), strict=True):
        polygon = shapely.geometry.shape(feature["geometry"])
        assert polygon.equals(shapely.box(row.x_lv0, row.y_lv0, row.x_lv0 + 256, row.y_lv0 + 256))
        assert polygon.exterior.is_ccw and feature["properties"]["objectType"] == "detection"
    assert found["features"][0]["properties"]["measurements"] == {"attention": 0.5, "attribution": -1.5}
    assert found["features"][1]["properties"]["measurements"] == {"attribution": 2.0}


def test_each_slide_shows_the_called_class_on_the_patients_scale():
    tiles = pd.DataFrame(
        {
            "patient": ["p", "p", "q"], "slide": ["s1", "s2", "s3"], "x_lv0": 0, "y_lv0": 0, "attention": 0.5,
            "a_neg": [1.0, -4.0, 2.0], "a_pos": [-1.0, 3.0, 7.0],
        }
    )  # fmt: skip
    found = explained_tiles(tiles, {"p": "neg", "q": "pos"}, slides=["s1", "s3", "gone"]).set_index("slide")
    assert found["attribution"].to_dict() == {"s1": 1.0, "s3": 7.0} and found["limit"].to_dict() == {
        "s1": 4.0,
        "s3": 7.0,
    }


@pytest.fixture
def tiling(tmp_path):
    """Tiles of a slide of 600 × 400 px, of a folder of ready-made tiles, and of a slide that was refused."""
    folder = tmp_path / "tiles"
    coords = np.array([[0, 0], [200, 0], [0, 200]])
    size_lv0, index = (600, 400), []
    for slide, source in (("scan", "slide"), ("ready", "tile_folder"), ("bare", "features_file")):
        known = {} if slide == "bare" else {"size_lv0": size_lv0}
        attributes = tile_attributes(slide=slide, tile_px=224, target_mpp=0.5, overlap_px=0, edge_lv0=200, **known)
        write_tiles(folder / f"{slide}.h5", TileTable(slide, source, attributes, coords=coords))
        shown = thumbnail(np.zeros((800, 1200, 3), np.uint8))
        write_png(folder / f"{slide}.png", shown)
        outcome = {"status": "ok", "reason": "", "content": slide, "n_tiles": 3, "n_failed_tiles": 0}
        index.append(
            {"slide": slide, "outcome": outcome, "sources": {}, "files": {}, "seconds": 0.0, "fingerprint": ""}
        )
    refused = {"slide": "lost", "outcome": {"status": "unreadable"}, "sources": {}, "files": {}}
    write_json(folder / "shards/0-of-1.json", [*index, refused])
    rows = [
        (slide, *xy, np.nan, value)
        for slide in ("scan", "ready", "bare")
        for xy, value in zip(coords, (1.0, 0.0, -1.0), strict=True)
    ]
    tiles = pd.DataFrame(rows, columns=["slide", "x_lv0", "y_lv0", "attention", "attribution"]).assign(limit=1.0)
    return folder / "shards/0-of-1.json", tiles


def run(tiling, out, tiles=None):
    index, own = tiling
    explain_slides(own if tiles is None else tiles, folder=out, shard="0-of-1", tiles_index=index, code="c")


def test_a_shard_has_an_overlay_in_the_thumbnails_frame_and_a_geojson_per_explained_slide(tiling, tmp_path):
    out = tmp_path / "explain"
    run(tiling, out)
    sizes = {path.stem: cv2.imread(str(path)).shape[1::-1] for path in (out / "overlays").glob("*.png")}
    assert sizes == {"scan": (1024, 683), "ready": (600, 400), "bare": (400, 400)}
    assert {path.stem for path in (out / "geojson").glob("*.geojson")} == set(sizes)
    for kind in ("overlays", "geojson"):
        assert [record.slide for record in read_index(out / kind / "shards/0-of-1.json")] == ["bare", "ready", "scan"]


def test_only_slides_whose_scores_changed_are_drawn_again(tiling, tmp_path):
    out = tmp_path / "explain"
    run(tiling, out)
    times = {path: path.stat().st_mtime_ns for kind in ("overlays", "geojson") for path in (out / kind).glob("*.*")}
    run(tiling, out)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    tiles = tiling[1].copy()
    tiles.loc[tiles["slide"] == "scan", "attribution"] *= 0.5
    run(tiling, out, tiles)
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"scan.png", "scan.geojson"}


def test_a_lost_overlay_is_noticed(tiling, tmp_path):
    out = tmp_path / "explain"
    run(tiling, out)
    (out / "overlays/scan.png").unlink()
    indexes = [out / kind / "shards/0-of-1.json" for kind in ("overlays", "geojson")]
    assert untrue_indexes(indexes) == {indexes[0]: ["scan"]}
