import math

import cv2
import numpy as np
import openslide
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from slide_scenes import tissue_scene, write_slide

from histoweave.settings.tiles import Tiles
from histoweave.slides import reader
from histoweave.slides.grid import TileGeometry, grid_lv0, tile_geometry, tissue_fraction
from histoweave.slides.reader import Overview, coarsest_level, read_overview
from histoweave.slides.spacing import level0_spacing, objection
from histoweave.slides.tissue import Tissue, find_tissue
from histoweave.storage.pictures import on_white


@given(width=st.integers(1, 900), height=st.integers(1, 900), edge=st.integers(1, 300), step=st.integers(1, 300))
def test_grid_lies_inside_in_order_and_leaves_no_room_for_more(width, height, edge, step):
    geometry = TileGeometry(edge_lv0=edge, step_lv0=step, level=0, downsample=1.0)
    coords = grid_lv0(width_lv0=width, height_lv0=height, geometry=geometry)
    assert coords.dtype == np.int64
    if edge > min(width, height):
        assert coords.shape == (0, 2)
        return
    assert coords.min() == 0
    assert (coords[:, 0] + edge <= width).all() and (coords[:, 1] + edge <= height).all()
    assert coords[:, 0].max() + step + edge > width and coords[:, 1].max() + step + edge > height
    assert (np.lexsort((coords[:, 0], coords[:, 1])) == np.arange(len(coords))).all()
    assert len(coords) == ((width - edge) // step + 1) * ((height - edge) // step + 1)
    if step >= edge:
        covered = np.zeros((height, width), int)
        for x, y in coords[:50]:
            covered[y : y + edge, x : x + edge] += 1
        assert covered.max() == 1


@given(
    mpp=st.floats(0.05, 0.525),
    tile_px=st.integers(16, 512),
    target=st.floats(0.5, 2.0),
    downsamples=st.lists(st.floats(1.5, 3), max_size=6),
)
def test_tiles_have_the_asked_physical_size_and_levels_are_fine_enough(mpp, tile_px, target, downsamples):
    levels = np.cumprod([1.0, *downsamples])
    geometry = tile_geometry(mpp=mpp, downsamples=levels, settings=Tiles(tile_px=tile_px, target_mpp=target))
    assert abs(geometry.edge_lv0 * mpp - tile_px * target) <= mpp / 2 + 1e-9
    assert geometry.step_lv0 == geometry.edge_lv0
    assert geometry.level == 0 or mpp * geometry.downsample <= target * 1.05 + 1e-9
    if geometry.level + 1 < len(levels):
        assert mpp * levels[geometry.level + 1] > target * 1.05 - 1e-9


@settings(deadline=None)
@given(data=st.data())
def test_tissue_fraction_equals_counting_pixels(data):
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    scale = data.draw(st.integers(1, 7))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width)))
    mask = mask.reshape(height, width)
    edge = data.draw(st.integers(1, scale * min(height, width)))
    x = data.draw(st.integers(0, scale * width - edge))
    y = data.draw(st.integers(0, scale * height - edge))
    fine = np.kron(mask, np.ones((scale, scale)))
    share = tissue_fraction(np.array([[x, y]]), edge_lv0=edge, tissue=Tissue(mask, float(scale), float(scale)))
    assert share.dtype == np.float32
    assert share[0] == pytest.approx(fine[y : y + edge, x : x + edge].mean(), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), scale=st.floats(1.0, 40.0), sigma=st.floats(0.8, 3.0))
def test_polygons_are_valid_disjoint_and_cover_the_mask(seed, scale, sigma):
    rng = np.random.default_rng(seed)
    mask = cv2.GaussianBlur(rng.random((24, 30), np.float32), (0, 0), sigma) > 0.5
    width, height = round(30 * scale), round(24 * scale)
    tissue = Tissue(mask, width / 30, height / 24)
    polygons = tissue.polygons_lv0(width_lv0=width, height_lv0=height)
    assert all(polygon.is_valid for polygon in polygons)
    union = shapely.union_all(polygons)
    assert union.area == pytest.approx(sum(polygon.area for polygon in polygons))
    if polygons:
        assert union.bounds[0] >= 0 and union.bounds[1] >= 0
        assert union.bounds[2] <= width and union.bounds[3] <= height
    if scale > 8:  # corners are rounded to whole px, which matters less and less
        assert union.area == pytest.approx(mask.sum() * tissue.downsample_x * tissue.downsample_y, rel=0.15)


@pytest.mark.parametrize(
    ("wanted", "tolerance", "level"),
    [(1.0, 0.0, 0), (0.5, 0.0, 0), (3.9, 0.0, 1), (3.9, 0.05, 2), (4.0, 0.0, 2), (100.0, 0.0, 3)],
)
def test_coarsest_level(wanted, tolerance, level):
    assert coarsest_level((1.0, 2.0, 4.0, 16.06), wanted=wanted, tolerance=tolerance) == level


@pytest.mark.parametrize(
    ("properties", "override", "expected"),
    [
        ({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.25"}, None, (0.25, "openslide", None)),
        ({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26"}, None, (0.255, "openslide", None)),
        (
            {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.28"},
            None,
            (0.265, "openslide", "implausible_mpp"),
        ),
        ({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.28"}, 0.25, (0.25, "override", None)),
        ({"openslide.mpp-x": "0.25"}, None, (math.nan, "none", "no_mpp")),
        ({"openslide.mpp-x": "nan", "openslide.mpp-y": "0.2"}, None, (math.nan, "none", "no_mpp")),
        ({"openslide.mpp-x": "n/a", "openslide.mpp-y": "0.2"}, None, (math.nan, "none", "no_mpp")),
        ({"openslide.objective-power": "20"}, None, (math.nan, "none", "no_mpp")),
        ({}, math.nan, (math.nan, "none", "no_mpp")),
        ({"openslide.mpp-x": "0", "openslide.mpp-y": "0"}, None, (0.0, "openslide", "implausible_mpp")),
        ({}, -0.5, (-0.5, "override", "implausible_mpp")),
    ],
)
def test_spacing(properties, override, expected):
    spacing = level0_spacing(properties, override)
    against = objection(spacing, Tiles())
    assert spacing.mpp == pytest.approx(expected[0], nan_ok=True)
    assert (spacing.source, against and against.status) == expected[1:]


def test_transparent_pixels_are_white_and_not_scanned():
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:, :2] = (100, 50, 100, 255)
    rgba[:, 2, :] = (100, 50, 100, 51)
    rgb = on_white(rgba)
    assert (rgb[:, :2] == (100, 50, 100)).all()
    assert (rgb[:, 3] == 255).all()
    assert (rgb[:, 2] == (224, 214, 224)).all()  # 0.2 * colour + 0.8 * 255


def test_unscanned_parts_are_neither_glass_nor_tissue():
    rgb = tissue_scene(4.0)
    scanned = np.zeros(rgb.shape[:2], bool)
    scanned[:, : rgb.shape[1] // 2] = True
    tissue = find_tissue(
        Overview(rgb, scanned, 8.0, 8.0), mpp=0.5, settings=Tiles(segmentation_mpp=4.0, min_region_um2=100)
    )
    assert tissue.mask[:, : rgb.shape[1] // 2].any()
    assert not tissue.mask[:, rgb.shape[1] // 2 + 1 :].any()


def test_overview_in_strips_equals_the_overview_in_one_piece(tmp_path, monkeypatch):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.5), mpp=0.5, compression=None)
    with openslide.OpenSlide(path) as slide:
        whole = read_overview(slide, downsample=8.0)
        monkeypatch.setattr(reader, "STRIP_PX", 640 * 40)
        strips = read_overview(slide, downsample=8.0)
    assert whole.rgb.shape == (64, 80, 3)
    assert np.abs(whole.rgb.astype(int) - strips.rgb).max() <= 1
    assert strips.scanned.all()
    assert (strips.downsample_x, strips.downsample_y) == (8.0, 8.0)


def test_faint_and_tinted_slides():
    scene = tissue_scene(4.0).astype(float)
    pale = 255 - (255 - scene) * 0.25
    tinted = scene * np.array([1.0, 0.92, 0.97])
    reference = (scene < 240).any(axis=2)
    for rgb in (pale, tinted):
        overview = Overview(rgb.astype(np.uint8), np.ones(rgb.shape[:2], bool), 8.0, 8.0)
        mask = find_tissue(overview, mpp=0.5, settings=Tiles(segmentation_mpp=4.0, min_region_um2=100)).mask
        assert (mask & reference).sum() / (mask | reference).sum() > 0.85
