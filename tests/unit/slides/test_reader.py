"""What is said of slides that cannot be opened or used, and where a slide's scanned part lies."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from leica_files import CORNER, write_scn
from slide_scenes import SMALL_TILES, tissue_scene, write_slide

from histoweave.explain.geojson import write_scores
from histoweave.interop.features import given_features
from histoweave.pages.report.pictures import contour_path
from histoweave.settings.tiles import Tiles
from histoweave.slides.bounds import bounds_origin
from histoweave.slides.illumination import not_brightfield
from histoweave.slides.reader import MAX_OVERVIEW_PX, open_slide, read_overview
from histoweave.slides.spacing import level0_spacing, objection
from histoweave.slides.store import TileTable, read_tiles, tile_attributes
from histoweave.slides.tiff_header import huge_tile
from histoweave.storage.refusal import Refusal
from histoweave.tiles.slide import tile_slide

SCENE = tissue_scene(0.5)


def tiled(folder: Path, path: Path, *, mpp: float | None = None, settings: Tiles = SMALL_TILES) -> TileTable:
    out = {f"out_{form}": folder / f"s.{form}" for form in ("h5", "geojson", "png")}
    tile_slide(slide="s", path=str(path), mpp=mpp, settings=settings, on_error="continue", **out)
    return read_tiles(folder / "s.h5")


def refusal_of(path: Path) -> Refusal:
    with pytest.raises(Refusal) as refused:
        open_slide(path)
    return refused.value


# Where a scanner's file holds more than what was scanned.


def extent(geojson: Path) -> np.ndarray:
    """Least and greatest (x, y) of all rings."""
    features = json.loads(geojson.read_text())["features"]
    points = np.concatenate([ring for feature in features for ring in feature["geometry"]["coordinates"]])
    return np.stack([points.min(axis=0), points.max(axis=0)])


def test_qupath_gets_its_own_pixels_and_coordinates_stay_those_of_level_0(tmp_path):
    table = tiled(tmp_path, write_scn(tmp_path / "a.scn", SCENE))
    assert table.status == "ok" and table.origin_lv0 == CORNER
    whole = tiled(tmp_path / "..", write_slide(tmp_path / "a.tiff", SCENE, mpp=0.5))
    found, reference = extent(tmp_path / "s.geojson"), extent(tmp_path.parent / "s.geojson")
    np.testing.assert_allclose(found, reference, atol=8)  # px of the mask
    least, most = table.coords.min(axis=0) - CORNER, table.coords.max(axis=0) - CORNER
    assert (np.abs(least - whole.coords.min(axis=0)) <= 64).all()
    assert (np.abs(most - whole.coords.max(axis=0)) <= 64).all()
    assert whole.origin_lv0 == (0, 0)


def test_scores_lie_where_qupath_shows_the_tiles(tmp_path):
    table = tiled(tmp_path, write_scn(tmp_path / "a.scn", SCENE))
    edge = table.attributes["patch_size_level0"]
    rows = pd.DataFrame(table.coords, columns=["x_lv0", "y_lv0"]).assign(attention=0.5)
    write_scores(tmp_path / "scores.geojson", rows, edge_lv0=edge, origin_lv0=table.origin_lv0)
    contours, scores = extent(tmp_path / "s.geojson"), extent(tmp_path / "scores.geojson")
    assert (scores[0] >= contours[0] - edge / 2).all() and (scores[1] <= contours[1] + edge / 2).all()


def test_the_report_draws_contours_on_the_whole_thumbnail(tmp_path):
    table = tiled(tmp_path, write_scn(tmp_path / "a.scn", SCENE))
    height, width = cv2.imread(str(tmp_path / "s.png")).shape[:2]
    scale = width / table.attributes["level0_width"], height / table.attributes["level0_height"]
    path = contour_path(tmp_path / "s.geojson", scale=scale, origin_lv0=table.origin_lv0)
    points = np.array([p.split() for p in path.strip("MZ").replace("ZM", "L").split("L")], float)
    centre_px = np.add(CORNER, np.divide((SCENE.shape[1], SCENE.shape[0]), 2)) * scale
    np.testing.assert_allclose(points.min(axis=0) / 2 + points.max(axis=0) / 2, centre_px, atol=3)


def test_own_features_from_elsewhere_keep_the_corner(tmp_path):
    import h5py

    attributes = tile_attributes(slide="s", tile_px=64, target_mpp=0.5, overlap_px=0, edge_lv0=64, origin_lv0=CORNER)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("coords", data=np.array([[1500, 1000]], np.int64)).attrs.update(attributes)
        file.create_dataset("features", data=np.ones((1, 3), np.float32)).attrs["encoder"] = "e"
    taken = given_features("s", tmp_path / "f.h5", settings=SMALL_TILES, spacing=level0_spacing({}, 0.5))
    assert taken.tile_table().origin_lv0 == CORNER


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"x": "15", "y": "7", "width": "9", "height": "9"}, (15, 7)),
        ({"x": "15", "y": "7"}, (0, 0)),
        ({"x": "15", "y": "", "width": "9", "height": "9"}, (0, 0)),
        ({"x": "15", "y": "7", "width": "0", "height": "9"}, (0, 0)),
        ({}, (0, 0)),
    ],
)
def test_bounds(given, expected):
    assert bounds_origin({f"openslide.bounds-{key}": value for key, value in given.items()}) == expected


# What a file says of its light.


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mirax.GENERAL.SLIDE_TYPE", "SLIDE_TYPE_FLUORESCENCE"),
        ("leica.illumination-source", "fluorescence"),
        ("dicom.OpticalPathSequence[0].IlluminationTypeCodeSequence[0].CodeMeaning", "Epifluorescence illumination"),
        ("zeiss.Information.Image.Dimensions.Channels.Channel.ContrastMethod", "Fluorescence"),
        ("tiff.ImageDescription", '<OME><Channel ContrastMethod="Fluorescence" ID="Channel:0"/></OME>'),
        ("openslide.comment", '<OME><Channel IlluminationType="Epifluorescence"/></OME>'),
    ],
)
def test_a_file_that_calls_itself_fluorescence_is_believed(key, value):
    refusal = not_brightfield({"openslide.vendor": "x", key: value})
    assert refusal.status == "not_brightfield" and key in refusal.reason and "luoresc" in refusal.reason.lower()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mirax.GENERAL.SLIDE_TYPE", "SLIDE_TYPE_BRIGHTFIELD"),
        ("leica.illumination-source", "brightfield"),
        ("dicom.OpticalPathSequence[0].IlluminationTypeCodeSequence[0].CodeMeaning", "Transmission illumination"),
        ("aperio.Title", "H&E beside the immunofluorescence"),
        ("hamamatsu.AHEX[0].fluorescence", "00130000"),
        ("openslide.comment", "compare with fluorescence"),
        ("tiff.ImageDescription", '<OME><Channel ContrastMethod="Brightfield"/></OME>'),
    ],
)
def test_names_and_comments_are_not_taken_for_the_light(key, value):
    assert not_brightfield({key: value}) is None


def test_a_light_picture_that_calls_itself_fluorescence_is_refused(tmp_path):
    text = '<?xml version="1.0"?><OME><Image><Pixels><Channel ContrastMethod="Fluorescence"/></Pixels></Image></OME>'
    tifffile.imwrite(tmp_path / "a.tiff", SCENE, tile=(64, 64), photometric="rgb", description=text, metadata=None)
    assert tiled(tmp_path, tmp_path / "a.tiff", mpp=0.5).status == "not_brightfield"


# What may not be read, is no slide, or is too coarse.


@pytest.fixture
def nobody():
    """A folder that everybody may enter; the test runs without the rights of root."""
    if os.geteuid() != 0:
        pytest.skip("only root can give up rights")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "closed").mkdir()
    for name in ("closed/a.tiff", "a.svs", "dicom/a.dcm"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_slide(folder / name, SCENE, mpp=0.5)
    for name, mode in (("closed", 0o700), ("a.svs", 0o600), ("dicom/a.dcm", 0o600)):
        (folder / name).chmod(mode)
    (folder / "out").mkdir(mode=0o777)
    (folder / "out").chmod(0o777)
    os.seteuid(65534)
    yield folder
    os.seteuid(0)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["closed/a.tiff", "closed", "a.svs", "dicom", "dicom/a.dcm"])
def test_missing_rights_are_named(nobody, name):
    table = tiled(nobody / "out", nobody / name)
    assert table.status == "unreadable" and "Permission denied" in table.reason


def test_what_is_not_there_is_missing(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link.svs").symlink_to(tmp_path / "gone.svs")
    for path in (tmp_path / "gone.svs", tmp_path / "link.svs", tmp_path / "file/a.svs", Path("a\0.svs")):
        assert refusal_of(path).status == "missing_file"


def test_a_pipe_is_no_slide(tmp_path):
    os.mkfifo(tmp_path / "a.svs")
    refusal = refusal_of(tmp_path / "a.svs")
    assert refusal.status == "unreadable" and "neither a file nor a folder" in refusal.reason


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_plain_tiff_gets_advice(tmp_path, bigtiff, byteorder):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, SCENE, photometric="rgb", bigtiff=bigtiff, byteorder=byteorder, metadata=None)
    refusal = refusal_of(path)
    assert refusal.status == "unreadable" and "tiled TIFF" in refusal.reason and "tiffsave" in refusal.reason
    (tmp_path / "text.svs").write_text("no slide")
    assert "tiled" not in refusal_of(tmp_path / "text.svs").reason


def test_grey_of_16_bits_is_not_read_as_white(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), SCENE[..., 0].astype(np.uint16) * 257)
    with open_slide(tmp_path / "a.png") as slide:
        pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
    np.testing.assert_array_equal(pixels[..., :3], np.repeat(SCENE[..., :1], 3, axis=2))
    cv2.imwrite(str(tmp_path / "a.png"), SCENE[..., 0].astype(np.uint16) * 60)
    refusal = refusal_of(tmp_path / "a.png")
    assert refusal.status == "unreadable" and "8 bits per channel" in refusal.reason


def test_too_coarse_names_the_key_and_does_not_ask_for_another_truth():
    refusal = objection(level0_spacing({"openslide.mpp-x": "1.0", "openslide.mpp-y": "1.0"}, None), Tiles())
    assert refusal.status == "too_coarse"
    assert "tiles.target_mpp" in refusal.reason and "finer scan" in refusal.reason
    stated = objection(level0_spacing({}, 1.0), Tiles())
    assert "column mpp" in stated.reason and "tiles.target_mpp" in stated.reason
    thumbnail = objection(level0_spacing({"openslide.mpp-x": "28.97", "openslide.mpp-y": "28.97"}, None), Tiles())
    assert thumbnail.status == "implausible_mpp" and "thumbnail" in thumbnail.reason
    nonsense = objection(level0_spacing({}, 250.0), Tiles())
    assert nonsense.status == "implausible_mpp" and "thumbnail" not in nonsense.reason


# What would not fit into memory.


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_tile_that_would_not_fit_is_refused_before_it_is_asked_for(tmp_path, bigtiff, byteorder):
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, SCENE, tile=(64, 64), photometric="rgb", bigtiff=bigtiff, byteorder=byteorder, metadata=None)
    assert huge_tile(path) is None
    with tifffile.TiffFile(path) as file:
        tags = [file.pages[0].tags[name] for name in ("TileWidth", "TileLength")]
    data = bytearray(path.read_bytes())
    for tag in tags:
        kind = tag.offset + 2
        code = (4).to_bytes(2, "little" if byteorder == "<" else "big")
        data[kind : kind + 2] = code
        at = tag.offset + (12 if bigtiff else 8)
        data[at : at + 4] = (2**30).to_bytes(4, "little" if byteorder == "<" else "big")
    path.write_bytes(data)
    assert huge_tile(path) == (2**30, 2**30)
    assert refusal_of(path).status == "unreadable"


def test_an_overview_that_would_not_fit_is_refused():
    class Claims:
        dimensions = (2**31, 2**31)
        level_dimensions = (dimensions,)
        level_downsamples = (1.0,)

    for downsample in (16.0, 2.0**21):
        with pytest.raises(Refusal, match="too large to be read") as refused:
            read_overview(Claims(), downsample=downsample)
        assert refused.value.status == "unreadable"
    assert MAX_OVERVIEW_PX > 152_000 * 104_000 / 16**2, "a double slide of 76 x 52 mm at 0.5 µm per px"
