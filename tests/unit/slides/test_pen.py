"""Marker ink and the stains that look like it: taken out, counted, refused, kept."""

import math

import h5py
import numpy as np
import pandas as pd
import pytest
from glass_scenes import DENSE, cells, glass, refusal_of, tissue_of
from slide_scenes import SMALL_TILES, write_slide

from histoweave.cohort.join import slide_status
from histoweave.slides.pen import find_ink
from histoweave.slides.store import read_tiles
from histoweave.tiles.slide import tile_slide

# Optical densities in red, green and blue, from Ruifrok and Johnston (2001) and ImageJ's table of theirs.
HAEMATOXYLIN, EOSIN = (0.644, 0.717, 0.267), (0.093, 0.954, 0.283)
DAB, AEC = (0.268, 0.570, 0.776), (0.274, 0.680, 0.680)
LIKE_INK = {
    "methyl blue": (0.800, 0.591, 0.105),
    "aniline blue": (0.853, 0.509, 0.113),
    "Alcian blue": (0.875, 0.458, 0.158),
    "methyl green": (0.980, 0.144, 0.133),
    "ponceau": (0.100, 0.737, 0.668),
}


def stained(left, right=None, *, strength: float = 0.5) -> np.ndarray:
    """An ellipse of tissue on glass, its halves stained: (768,1024,3) uint8."""
    y, x = np.mgrid[:768, :1024]
    inside = ((x - 512) / 390) ** 2 + ((y - 384) / 290) ** 2 < 1
    wave = strength * (0.7 + 0.6 * (0.5 + 0.5 * np.sin(x / 11) * np.cos(y / 13)))
    halves = np.where((x < 512)[..., None], np.array(left), np.array(left if right is None else right))
    return np.where(inside[..., None], 243 * 10 ** -(wave[..., None] * halves), 243.0).astype(np.uint8)


@pytest.mark.parametrize("stain", [HAEMATOXYLIN, EOSIN, DAB, AEC], ids=["haematoxylin", "eosin", "DAB", "AEC"])
@pytest.mark.parametrize("strength", [0.3, 0.5, 1.0])
def test_stains_of_routine_are_no_ink(stain, strength):
    found = tissue_of(stained(stain, strength=strength))
    assert found.pen_share < 0.02
    assert found.mask.mean() == pytest.approx(math.pi * 390 * 290 / (768 * 1024), rel=0.05)


@pytest.mark.parametrize("stain", LIKE_INK.values(), ids=LIKE_INK)
def test_stains_that_look_like_ink_are_refused_by_name_and_kept_on_demand(stain):
    picture = stained(stain)
    refusal = refusal_of(picture)
    assert refusal.status == "pen_marks" and refusal.pen_share > 0.9
    assert "tiles.pen to keep" in refusal.reason and "tiles.max_pen_share" in refusal.reason
    kept = tissue_of(picture, pen="keep")
    assert kept.mask.mean() == pytest.approx(math.pi * 390 * 290 / (768 * 1024), rel=0.05)
    assert math.isnan(kept.pen_share)


def test_ink_beside_tissue_is_taken_out_and_counted():
    scene = glass(1200)
    scene[200:1000, 200:800] = np.tile(DENSE, (2, 1, 1))[:800, :600]
    scene[:, 900:1000] = (40, 130, 90)
    found = tissue_of(scene)
    assert found.mask.mean() == pytest.approx(1 / 3, abs=0.02)
    assert found.pen_share == pytest.approx(100 * 1200 / (100 * 1200 + 800 * 600), abs=0.03)
    assert tissue_of(scene, pen="keep").mask.mean() == pytest.approx(1 / 3 + 1 / 12, abs=0.02)


def test_more_ink_than_tissue_is_accepted_on_demand():
    scene = glass(1200)
    scene[300:600, 300:600] = DENSE[:300, :300]
    scene[700:900, 100:1100] = (40, 130, 90)
    assert refusal_of(scene).status == "pen_marks"
    found = tissue_of(scene, max_pen_share=1.0)
    assert found.mask.mean() == pytest.approx(1 / 16, abs=0.01) and found.pen_share > 0.6


def test_thin_red_ink_over_fat_is_ink():
    """Fat: round gaps between thin walls of eosin; the ink of a marker that is running dry lies over half of it."""
    fat = cells((225, 150, 195), (243, 241, 243), per_um2=0.02, edge_px=1000)
    crimson = np.array([0.03, 0.26, 0.22])
    fat[:, 500:] = fat[:, 500:] * 10**-crimson
    found = tissue_of(fat, max_pen_share=1.0)
    left, right = np.array_split(found.mask, 2, axis=1)
    assert left.mean() > 0.9 and right[:, 3:].mean() < 0.05
    assert found.pen_share == pytest.approx(0.5, abs=0.1)


def test_colours_of_ink_and_of_stains():
    """Colours as scanned, on white glass."""
    ink = [(200, 30, 45), (235, 150, 162), (215, 70, 95), (40, 130, 90), (120, 200, 180), (60, 120, 190), (30, 75, 60)]
    other = [(230, 160, 200), (110, 60, 140), (215, 110, 140), (160, 110, 60), (175, 182, 205), (150, 145, 200)]
    for colours, expected in ((ink, True), (other, False)):
        for colour in colours:
            rgb = np.broadcast_to(np.array(colour, np.float32), (5, 5, 3))
            assert find_ink(rgb, rgb.max(axis=2) - rgb.min(axis=2)).all() == expected, colour


def test_the_share_reaches_the_tile_file_and_the_table(tmp_path):
    picture = stained(EOSIN)
    picture[:, 600:700][picture[:, 600:700].min(axis=2) < 240] = (40, 130, 90)
    shares, tiles, features = {}, {}, {}
    for pen in ("remove", "keep"):
        out = {f"out_{form}": tmp_path / f"{pen}.{form}" for form in ("h5", "geojson", "png")}
        write_slide(tmp_path / "a.tiff", picture, mpp=0.5, compression=None)
        chosen = SMALL_TILES.model_copy(update={"pen": pen})
        assert tile_slide(slide=pen, path=str(tmp_path / "a.tiff"), mpp=None, settings=chosen,
                          on_error="stop", **out) == "ok"  # fmt: skip
        shares[pen] = read_tiles(out["out_h5"]).pen_share
        tiles[pen], features[pen] = str(out["out_h5"]), str(tmp_path / f"{pen}-f.h5")
        with h5py.File(features[pen], "w") as file:
            file.attrs.update({"status": "ok", "reason": "", "features_sha256": ""})
            file.create_dataset("failed_coords", data=np.zeros((0, 2)))
            file.create_dataset("features", data=np.zeros((1, 2))).attrs.update({"encoder": "e", "weights_sha256": ""})
    assert 0.1 < shares["remove"] < 0.2 and math.isnan(shares["keep"])
    slides = pd.DataFrame({"slide": list(tiles), "patient": "p", "path": "x"})
    table = slide_status(slides, tiles=tiles, features=features).set_index("slide")
    assert table["pen_share"].dtype == np.float64 and table.loc["remove", "pen_share"] == shares["remove"]
    assert math.isnan(table.loc["keep", "pen_share"])


def test_a_refused_slide_has_its_share_too(tmp_path):
    path = write_slide(tmp_path / "a.tiff", stained(LIKE_INK["Alcian blue"]), mpp=0.5, compression=None)
    out = {f"out_{form}": tmp_path / f"a.{form}" for form in ("h5", "geojson", "png")}
    assert (
        tile_slide(slide="a", path=str(path), mpp=None, settings=SMALL_TILES, on_error="continue", **out) == "pen_marks"
    )
    found = read_tiles(tmp_path / "a.h5")
    assert found.status == "pen_marks" and found.pen_share > 0.9 and len(found.coords) == 0
