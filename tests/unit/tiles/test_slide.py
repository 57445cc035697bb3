import json
import math

import cv2
import h5py
import numpy as np
import pytest
import shapely
from slide_scenes import (
    FIELD_UM,
    SMALL_TILES,
    TISSUE_CENTRE_UM,
    TISSUE_RADII_UM,
    tissue_scene,
    write_slide,
)

from histoweave.errors import InputError
from histoweave.settings.tiles import Tiles
from histoweave.slides.store import read_tiles
from histoweave.slides.tile_reader import TileReader
from histoweave.tiles.slide import tile_slide

ATTRIBUTES = {
    "patch_size", "patch_size_level0", "patch_level", "downsample", "level0_width", "level0_height",
    "level0_magnification", "target_magnification", "overlap", "name", "target_mpp", "level0_mpp", "mpp_source",
    "scanner_vendor", "scanner_model", "objective_power", "bounds_x_lv0", "bounds_y_lv0",
}  # fmt: skip


def tile(folder, path, *, mpp=None, settings=SMALL_TILES, on_error="continue", slide="S1"):
    outputs = {
        "out_h5": folder / "S1.h5",
        "out_geojson": folder / "S1.geojson",
        "out_png": folder / "S1.png",
    }
    return tile_slide(slide=slide, path=str(path), mpp=mpp, settings=settings, on_error=on_error, **outputs)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def pixels(path, table, index, *, edge_px=64):
    with TileReader(path=path, tiles=table, edge_px=edge_px, interpolation="bicubic") as reader:
        images, readable = reader.read(np.array([index]))
    assert readable.all()
    return images[0].astype(float)


def test_scanners_of_different_spacing_give_tiles_of_equal_physical_size(tmp_path, out):
    tables, paths = [], []
    for mpp in (0.20, 0.29):
        paths.append(write_slide(tmp_path / f"{mpp}.tiff", tissue_scene(mpp), mpp=mpp))
        assert tile(out, paths[-1]) == "ok"
        tables.append(read_tiles(out / "S1.h5"))
    fine, coarse = tables
    for table, mpp in zip(tables, (0.20, 0.29), strict=True):
        assert table.attributes["level0_mpp"] == pytest.approx(mpp, rel=1e-4)
        assert abs(table.attributes["patch_size_level0"] * mpp - 32.0) <= mpp
    assert abs(len(fine.coords) - len(coarse.coords)) <= 0.1 * len(fine.coords)

    fine_um, coarse_um = fine.coords * 0.20, coarse.coords * 0.29
    differences, shifted = [], []
    for index, corner in enumerate(coarse_um):
        distance = np.abs(fine_um - corner).max(axis=1)
        partner = int(distance.argmin())
        if distance[partner] > 2:  # a tile at the rim of the tissue that only one of them kept
            continue
        image = pixels(paths[1], coarse, index)
        differences.append(np.abs(image - pixels(paths[0], fine, partner)).mean())
        shifted.append(np.abs(image - np.roll(image, 10, axis=1)).mean())
    assert len(differences) >= 0.9 * len(coarse_um)
    # The same field is seen: far closer than the same field 5 µm to the side.
    assert np.median(differences) < 0.35 * np.median(shifted)


def test_coordinates_are_level0_sorted_and_complete(tmp_path, out):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.25), mpp=0.25, levels=3)
    assert tile(out, path) == "ok"
    with h5py.File(out / "S1.h5") as file:
        assert file["coords"].dtype == np.int64
        assert file["tissue_fraction"].dtype == np.float32
        assert set(file["coords"].attrs) == ATTRIBUTES
        attributes = dict(file.attrs)
        assert attributes.pop("tiles_sha256") == read_tiles(out / "S1.h5").sha256()
        assert attributes.pop("pen_share") < 0.01
        assert attributes == {"slide": "S1", "source": "slide", "status": "ok", "reason": ""}
    table = read_tiles(out / "S1.h5")
    order = np.lexsort((table.coords[:, 0], table.coords[:, 1]))
    assert (order == np.arange(len(order))).all()
    assert (table.tissue_fraction >= 0.5).all()
    # Level 1 of this pyramid has exactly the spacing that is asked for.
    expected = {
        "patch_size": 64, "patch_size_level0": 128, "patch_level": 1, "downsample": 2.0, "level0_width": 1280,
        "level0_height": 1024, "overlap": 0, "name": "S1", "target_mpp": 0.5, "mpp_source": "openslide",
        "target_magnification": 20.0,
    }  # fmt: skip
    assert {key: table.attributes[key] for key in expected} == expected
    assert table.attributes["level0_mpp"] == pytest.approx(0.25)
    assert table.attributes["level0_magnification"] == pytest.approx(40.0)


def test_tissue_area_contours_and_thumbnail(tmp_path, out):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.5), mpp=0.5)
    assert tile(out, path) == "ok"
    collection = json.loads((out / "S1.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    polygons = []
    for feature in collection["features"]:
        assert feature["properties"]["objectType"] == "annotation"
        for ring in feature["geometry"]["coordinates"]:
            assert ring[0] == ring[-1] and len(ring) >= 4
        polygons.append(shapely.from_geojson(json.dumps(feature["geometry"])))
    bounds = shapely.box(0, 0, FIELD_UM[0] / 0.5, FIELD_UM[1] / 0.5)
    assert all(polygon.is_valid and polygon.within(bounds) for polygon in polygons)
    area_um2 = sum(polygon.area for polygon in polygons) * 0.5**2
    assert area_um2 == pytest.approx(math.pi * TISSUE_RADII_UM[0] * TISSUE_RADII_UM[1], rel=0.03)
    centroid_um = np.array(shapely.union_all(polygons).centroid.coords[0]) * 0.5
    assert np.abs(centroid_um - TISSUE_CENTRE_UM).max() < 1.0
    table = read_tiles(out / "S1.h5")
    edge = table.attributes["patch_size_level0"]
    tissue = shapely.union_all(polygons)
    for (x, y), share in zip(table.coords, table.tissue_fraction, strict=True):
        box = shapely.box(x, y, x + edge, y + edge)
        assert share == pytest.approx(tissue.intersection(box).area / box.area, abs=0.03)
    picture = cv2.imread(str(out / "S1.png"))[..., ::-1].astype(int)
    assert picture.shape == (512, 640, 3)
    drawn = (picture[..., 1] > picture[..., 0] + 60) & (picture[..., 1] > picture[..., 2] + 40)
    assert not drawn.any()  # contours are drawn by those who show the picture


def test_holes_stay_holes(tmp_path, out):
    rgb = tissue_scene(0.5)
    cv2.circle(rgb, (320, 256), 110, (243, 242, 244), thickness=-1)
    assert tile(out, write_slide(tmp_path / "a.tiff", rgb, mpp=0.5, compression=None)) == "ok"
    (feature,) = json.loads((out / "S1.geojson").read_text())["features"]
    _, hole = feature["geometry"]["coordinates"]
    assert shapely.Polygon(hole).area == pytest.approx(math.pi * 110**2, rel=0.1)


def test_override_beats_header(tmp_path, out):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.25), mpp=0.5)
    assert tile(out, path, mpp=0.25) == "ok"
    attributes = read_tiles(out / "S1.h5").attributes
    assert attributes["mpp_source"] == "override"
    assert attributes["level0_mpp"] == 0.25
    assert attributes["patch_size_level0"] == 128


def test_overlap_is_taken_at_the_target_spacing(tmp_path, out):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.25), mpp=0.25)
    settings = SMALL_TILES.model_copy(update={"overlap_px": 16})
    assert tile(out, path, settings=settings) == "ok"
    xs = np.unique(read_tiles(out / "S1.h5").coords[:, 0])
    assert set(np.diff(xs)) == {128 - 32}


def grey_ramp():
    return np.repeat(np.linspace(2, 30, 640, dtype=np.uint8)[None, :, None], 512, axis=0).repeat(3, axis=2)


def fluorescence():
    return grey_ramp() * np.array([0, 1, 3], np.uint8)


def empty_glass():
    noise = np.random.default_rng(0).normal(0, 3, (512, 640, 3))
    return (np.array([242, 241, 243]) + noise).clip(0, 255).astype(np.uint8)


def salmon():
    scene = tissue_scene(0.5)
    scene[(scene > 240).all(axis=2)] = (245, 128, 128)
    return scene


def green_ink():
    scene = empty_glass()
    scene[100:400, 150:500] = (40, 130, 90)
    return scene


def black_border():
    scene = empty_glass()
    scene[:, :200] = 3
    return scene


@pytest.mark.parametrize(
    ("scene", "mpp", "override", "status"),
    [
        (tissue_scene(0.5), None, None, "no_mpp"),
        (tissue_scene(0.5), 352.8, None, "implausible_mpp"),
        (tissue_scene(0.5), 0.01, None, "implausible_mpp"),
        (tissue_scene(0.5), 0.5, 50.0, "implausible_mpp"),
        (tissue_scene(0.5), 0.5, 0.0, "implausible_mpp"),
        (tissue_scene(0.5), 0.53, None, "too_coarse"),
        (tissue_scene(0.5), 0.52, None, "ok"),
        (tissue_scene(0.5)[:60, :], 0.5, None, "too_small"),
        (fluorescence(), 0.5, None, "not_brightfield"),
        (grey_ramp(), 0.5, None, "not_brightfield"),
        (salmon(), 0.5, None, "odd_colours"),
        (empty_glass(), 0.5, None, "no_tissue"),
        (green_ink(), 0.5, None, "pen_marks"),
        (black_border(), 0.5, None, "no_tissue"),
    ],
)
def test_statuses(tmp_path, out, scene, mpp, override, status):
    path = write_slide(tmp_path / "a.tiff", scene, mpp=mpp, compression=None)
    assert tile(out, path, mpp=override) == status
    table = read_tiles(out / "S1.h5")
    assert table.status == status
    assert set(table.attributes) == ATTRIBUTES
    assert bool(table.reason) == (status != "ok")
    if status != "ok":
        assert table.coords.shape == (0, 2) and table.tissue_fraction.shape == (0,)
        assert json.loads((out / "S1.geojson").read_text())["features"] == []
    assert (out / "S1.png").stat().st_size > 100


def test_a_file_that_is_no_slide(tmp_path, out):
    path = tmp_path / "a.svs"
    path.write_bytes(b"this is not a slide")
    assert tile(out, path) == "unreadable"
    assert tile(out, tmp_path / "gone.svs") == "missing_file"
    assert math.isnan(read_tiles(out / "S1.h5").attributes["level0_mpp"])


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_plain_picture_is_a_slide_once_its_size_is_stated(tmp_path, out, suffix):
    scene = tissue_scene(0.29)
    picture = tmp_path / f"section.{suffix}"
    cv2.imwrite(str(picture), cv2.cvtColor(scene, cv2.COLOR_RGB2BGR))
    assert tile(out, picture) == "no_mpp"
    assert tile(out, picture, mpp=0.29) == "ok"
    found = read_tiles(out / "S1.h5")
    assert tile(out, write_slide(tmp_path / "same.tiff", scene, mpp=0.29, compression=None)) == "ok"
    pyramid = read_tiles(out / "S1.h5")
    if suffix == "png":  # the same pixels
        np.testing.assert_array_equal(found.coords, pyramid.coords)
        assert (pixels(picture, found, 0) == pixels(tmp_path / "same.tiff", pyramid, 0)).all()
    assert len(found.coords) == pytest.approx(len(pyramid.coords), rel=0.1)


def test_a_picture_that_is_cut_short_is_refused(tmp_path, out):
    picture = tmp_path / "section.png"
    cv2.imwrite(str(picture), tissue_scene(0.29))
    picture.write_bytes(picture.read_bytes()[:20_000])
    assert tile(out, picture, mpp=0.29) == "unreadable"


def test_a_truncated_slide_is_never_ok_with_all_tiles(tmp_path, out):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.25), mpp=0.25)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert tile(out, path) == "unreadable"


def test_on_error_stop_names_the_slide_and_writes_nothing(tmp_path, out):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.5), mpp=None)
    with pytest.raises(InputError, match=r"slide 'S1' .*a\.tiff.*no_mpp"):
        tile(out, path, on_error="stop")
    assert list(out.iterdir()) == []


def test_equal_input_gives_equal_bytes(tmp_path, out):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.4), mpp=0.4)
    contents = []
    for _ in range(2):
        assert tile(out, path) == "ok"
        contents.append([file.read_bytes() for file in sorted(out.iterdir())])
    assert contents[0] == contents[1]


def test_default_settings_find_the_same_tissue_as_fine_ones(tmp_path, out):
    field = (1344.0, 1120.0)
    rgb = np.kron(tissue_scene(2.0), np.ones((4, 4, 1), np.uint8))
    canvas = np.full((round(field[1] / 0.5), round(field[0] / 0.5), 3), 243, np.uint8)
    canvas[500 : 500 + rgb.shape[0], 700 : 700 + rgb.shape[1]] = rgb
    assert tile(out, write_slide(tmp_path / "a.tiff", canvas, mpp=0.5), settings=Tiles()) == "ok"
    coords = read_tiles(out / "S1.h5").coords
    assert (coords[:, 0] + 224 > 700).all() and (coords[:, 0] < 700 + 640).all()
    assert (coords[:, 1] + 224 > 500).all() and (coords[:, 1] < 500 + 512).all()
