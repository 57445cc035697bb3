"""Measures of a tile: closed forms on drawn tiles, and other libraries' answers on random ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from histoweave.explain.tile_measures import (
    MAX_OBJECT_MPP,
    MEASURES,
    MIN_NUCLEUS_UM2,
    as_bytes,
    measure,
    nuclear_threshold,
    stains,
)

# Table 1 of Ruifrok and Johnston (2001), scaled to length 1 here.
HAEMATOXYLIN, EOSIN = (np.array(v) / np.linalg.norm(v) for v in ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)))
EDGE_PX, MPP = 256, 0.5


def stained(haematoxylin, eosin) -> np.ndarray:
    """(H,W,3) uint8 RGB of two (H,W) densities, by Beer and Lambert."""
    density = np.multiply.outer(haematoxylin, HAEMATOXYLIN) + np.multiply.outer(eosin, EOSIN)
    return np.rint(255 * 10**-density).astype(np.uint8)


def discs(centres, *, radius_px: float, edge_px: int = EDGE_PX) -> np.ndarray:
    """(E,E) float, 1 inside."""
    y, x = np.mgrid[:edge_px, :edge_px]
    return np.max([(x - cx) ** 2 + (y - cy) ** 2 <= radius_px**2 for cx, cy in centres], axis=0).astype(float)


def of(rgb, *, mpp=MPP):
    threshold = nuclear_threshold([as_bytes(stains(rgb)[..., 0])])
    return measure(rgb, mpp=mpp, threshold=threshold)


@given(st.floats(0, 0.9), st.floats(0, 0.9))
def test_stains_that_were_mixed_are_unmixed(haematoxylin, eosin):
    found = stains(stained(np.full((2, 2), haematoxylin), np.full((2, 2), eosin)))
    # Rounding to bytes moves the density of a dark colour by up to 0.02.
    np.testing.assert_allclose(found, np.broadcast_to([haematoxylin, eosin], (2, 2, 2)), atol=0.03)


def test_white_has_no_stain_and_black_is_finite():
    assert not stains(np.full((1, 1, 3), 255, np.uint8)).any()
    assert np.isfinite(stains(np.zeros((1, 1, 3), np.uint8))).all()


def test_discs_are_counted_and_sized():
    centres = [(40, 40), (40, 200), (200, 40), (200, 200), (128, 128)]
    radius_um = 4.0
    nuclear = discs(centres, radius_px=radius_um / MPP)
    found = of(stained(0.6 * nuclear, np.full(nuclear.shape, 0.2)))
    tile_mm2 = (EDGE_PX * MPP / 1000) ** 2
    assert found["nuclei_per_mm2"] == pytest.approx(5 / tile_mm2)
    assert found["nucleus_area_um2"] == pytest.approx(nuclear.sum() / 5 * MPP**2)
    assert found["nucleus_area_um2"] == pytest.approx(np.pi * radius_um**2, rel=0.03)
    assert found["nuclei_share"] == nuclear.mean()
    assert found["haematoxylin_od"] == pytest.approx(0.6 * nuclear.mean(), abs=0.005)
    assert found["eosin_od"] == pytest.approx(0.2, abs=0.005)


def test_specks_are_no_nuclei_but_cover_the_tile():
    radius_px = np.sqrt(0.5 * MIN_NUCLEUS_UM2 / np.pi) / MPP
    found = of(stained(0.6 * discs([(50, 50), (90, 90)], radius_px=radius_px), np.zeros((EDGE_PX, EDGE_PX))))
    assert found["nuclei_per_mm2"] == 0 and np.isnan(found["nucleus_area_um2"]) and found["nuclei_share"] > 0


def test_an_even_tile_has_no_nuclei_and_no_contrast():
    found = of(np.full((64, 64, 3), (230, 180, 200), np.uint8))
    assert found["nuclei_share"] == found["nuclei_per_mm2"] == found["luminance_sd_grey"] == 0
    assert found["saturation_hsv"] == pytest.approx(50 / 230)


@pytest.mark.parametrize("mpp", [np.nan, 1.01 * MAX_OBJECT_MPP])
def test_objects_are_not_counted_where_they_cannot_be_told_apart(mpp):
    nuclear = discs([(40, 40)], radius_px=8)
    found = of(stained(0.6 * nuclear, 0 * nuclear), mpp=mpp)
    assert np.isnan(found["nuclei_per_mm2"]) and np.isnan(found["nucleus_area_um2"])
    assert found["nuclei_share"] == nuclear.mean()


def test_one_threshold_serves_all_tiles_of_a_slide():
    empty, full = np.zeros((64, 64)), discs([(32, 32)], radius_px=20, edge_px=64)
    tiles = [stained(0.1 + 0.5 * nuclear, empty) for nuclear in (empty, full)]
    threshold = nuclear_threshold([as_bytes(stains(tile)[..., 0]) for tile in tiles])
    shares = [measure(tile, mpp=MPP, threshold=threshold)["nuclei_share"] for tile in tiles]
    assert shares == [0, full.mean()]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_threshold_parts_the_pixels_with_the_largest_variance_between(seed):
    """Otsu's criterion, tried for every threshold."""
    rng = np.random.default_rng(seed)
    tiles = [rng.normal(centre, 15, (20, 20)).clip(0, 255).astype(np.uint8) for centre in rng.uniform(20, 230, 2)]
    pixels = np.concatenate([tile.ravel() for tile in tiles]).astype(float)

    def between(threshold):
        above = pixels > threshold
        if above.all() or not above.any():
            return 0.0
        return above.mean() * (~above).mean() * (pixels[above].mean() - pixels[~above].mean()) ** 2

    assert between(nuclear_threshold(tiles)) == pytest.approx(max(map(between, range(256))))


def random_tile(seed: int, *, edge_px: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    nuclear = cv2.GaussianBlur(rng.normal(0, 1, (edge_px, edge_px)).astype(np.float32), (0, 0), 3) > 0.05
    return stained(0.5 * nuclear + rng.uniform(0, 0.1, nuclear.shape), rng.uniform(0, 0.4, nuclear.shape))


@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_turning_or_mirroring_a_tile_changes_nothing(seed, quarters, mirrored):
    tile = random_tile(seed)
    turned = np.rot90(tile[:, ::-1] if mirrored else tile, quarters)
    assert of(np.ascontiguousarray(turned)) == pytest.approx(of(tile), rel=1e-6, nan_ok=True)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_objects_are_those_of_scipy(seed):
    tile = random_tile(seed)
    haematoxylin = as_bytes(stains(tile)[..., 0])
    labels, n = ndimage.label(haematoxylin > nuclear_threshold([haematoxylin]), structure=np.ones((3, 3)))
    areas = ndimage.sum_labels(np.ones(labels.shape), labels, range(1, n + 1)) * MPP**2
    areas = areas[areas >= MIN_NUCLEUS_UM2]
    found = of(tile)
    assert found["nuclei_per_mm2"] == pytest.approx(len(areas) / (labels.size * MPP**2 / 1e6))
    assert found["nucleus_area_um2"] == pytest.approx(np.median(areas) if len(areas) else np.nan, nan_ok=True)


def test_names_end_in_their_units():
    suffixes = ("_od", "_share", "_per_mm2", "_um2", "_grey", "_hsv")
    assert all(name.endswith(suffixes) for name in MEASURES)
    assert list(of(random_tile(0))) == list(MEASURES)
