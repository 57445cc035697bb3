"""Simulated slides: real files that OpenSlide opens, with the factor in the planted part and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import openslide
import pandas as pd
import pytest

from histoweave.errors import InputError
from histoweave.settings.cohorts import Simulate
from histoweave.simulate.factors import rng_for
from histoweave.simulate.scene import MASK_UM, SITES, make_scene, planted_squares
from histoweave.simulate.slide import _at_px, render, write_slide

SETTINGS = Simulate(seed=3, no_mpp=["bare"], no_tissue=["empty"], truncated=["cut"])
TILE_UM = 112.0


def scene(*, image_factor: bool, site: str = "ZA", slide: str = "s", empty: bool = False):
    return make_scene(
        slide=slide, patient="p", site=site, image_factor=image_factor, empty=empty,
        planted_share=0.35, field_um=1008.0, seed=3,
    )  # fmt: skip


def write(folder, slide: str, *, site: str = "ZA", image_factor: bool = True, settings: Simulate = SETTINGS):
    path, truth = folder / f"{slide}.tiff", folder / f"{slide}.parquet"
    write_slide(path, truth, slide=slide, patient="p", site=site, image_factor=image_factor, settings=settings)
    return path, truth


def pixels(slide: openslide.OpenSlide) -> np.ndarray:
    return np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))


@pytest.mark.parametrize("site", sorted(SITES))
def test_openslide_reads_a_pyramid_with_the_spacing_of_the_site(tmp_path, site):
    path, _ = write(tmp_path, "s", site=site)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert slide.level_count == 3
        for axis in "xy":
            assert float(slide.properties[f"openslide.mpp-{axis}"]) == pytest.approx(SITES[site].mpp, rel=1e-6)
        assert slide.dimensions[0] * SITES[site].mpp == pytest.approx(SETTINGS.field_um, abs=SITES[site].mpp)
        assert slide.level_downsamples == pytest.approx((1, 4, 16), rel=0.01)
    assert path.stat().st_size < 1.5e6


def test_tissue_fills_35_to_55_tiles():
    counts = []
    for i in range(30):
        tissue = scene(image_factor=False, slide=f"s{i}").tissue
        per_tile = int(TILE_UM / MASK_UM)
        k = len(tissue) // per_tile
        shares = tissue.reshape(k, per_tile, k, per_tile).mean(axis=(1, 3))
        counts.append(int((shares >= 0.5).sum()))
    assert min(counts) >= 35 and max(counts) <= 55


def test_planted_part_is_the_share_asked_for_and_inside_the_tissue():
    planted = scene(image_factor=True)
    assert planted.planted.sum() / planted.tissue.sum() == pytest.approx(0.35, abs=0.01)
    assert not (planted.planted & ~planted.tissue).any()
    assert not scene(image_factor=False).planted.any()


@pytest.mark.parametrize("site", ["ZA", "ZC"])
def test_outside_the_planted_part_the_factor_moves_no_pixel(site):
    with_factor, without = scene(image_factor=True, site=site), scene(image_factor=False, site=site)
    images = [render(s, site=SITES[site], grain=rng_for(3, "grain", "s")).astype(int) for s in (with_factor, without)]
    changed = np.abs(images[0] - images[1]).max(axis=2) > 0
    at = ((np.arange(len(changed)) + 0.5) * SITES[site].mpp / MASK_UM).astype(int)
    planted = with_factor.planted[np.ix_(at, at)]
    reach = int(np.ceil(3 / SITES[site].mpp))  # 3 µm around, for the blur of the optics
    near = cv2.dilate(planted.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)).astype(bool)
    assert changed[planted].mean() > 0.3
    assert not changed[~near].any()


@pytest.mark.parametrize("mpp", [0.5, 0.42])
def test_a_field_keeps_its_place_in_um(mpp):
    x_um = np.tile((np.arange(50) + 0.5) * MASK_UM, (50, 1))  # every pixel holds its own place
    size_px = round(200 / mpp)
    got = _at_px(x_um, pixel_um=MASK_UM, mpp=mpp, size_px=size_px)
    expected = (np.arange(size_px) + 0.5) * mpp
    inner = (expected > MASK_UM) & (expected < 200 - MASK_UM)
    # OpenCV interpolates at 1/32 of a pixel.
    assert np.abs(got[:, inner] - expected[inner]).max() <= MASK_UM / 32


def test_one_scene_has_the_same_structures_in_um_at_two_spacings():
    """The same scene at 0.50 and 0.42 µm per px, brought to 4 µm squares, differs by resampling only."""
    coarse = []
    for mpp_of in ("ZA", "ZC"):
        site = SITES[mpp_of]
        image = render(scene(image_factor=True), site=site, grain=rng_for(3, "grain", "s"))
        image = image.astype(float) / site.glass_rgb
        starts = np.round(np.arange(0, 1008, 8) / site.mpp).astype(int)
        sums = np.add.reduceat(np.add.reduceat(image, starts, axis=0), starts, axis=1)
        sizes = np.diff(np.append(starts, len(image)))
        coarse.append(sums / (sizes[:, None] * sizes)[..., None])
    assert np.abs(coarse[0] - coarse[1]).mean() < 0.01
    assert np.corrcoef(coarse[0].ravel(), coarse[1].ravel())[0, 1] > 0.99


def test_planted_tiles_are_darker_than_any_other_tissue(tmp_path):
    path, truth_path = write(tmp_path, "s")
    truth = pd.read_parquet(truth_path)
    with openslide.OpenSlide(path) as slide:
        image = pixels(slide)[..., 0]
    edge = int(28 / 0.5)
    red = image.reshape(36, edge, 36, edge).mean(axis=(1, 3)).ravel()  # truth rows: y, then x
    solid = truth["planted_share"].to_numpy() == 1
    assert red[solid].mean() < red[(truth["planted_share"] == 0) & (red < 235)].mean() - 25


def test_truth_is_a_full_grid_of_squares(tmp_path):
    _, truth_path = write(tmp_path, "s")
    truth = pd.read_parquet(truth_path)
    assert list(truth) == ["slide", "x_um", "y_um", "edge_um", "planted_share"]
    assert len(truth) == 36**2 and set(truth["edge_um"]) == {28.0}
    assert sorted(set(truth["x_um"])) == sorted(set(truth["y_um"])) == [28.0 * i for i in range(36)]
    at = truth[(truth["x_um"] == 280) & (truth["y_um"] == 56)]["planted_share"].item()
    assert at == scene(image_factor=True).planted[14:21, 70:77].mean()
    area_um2 = (truth["planted_share"] * truth["edge_um"] ** 2).sum()
    assert area_um2 == pytest.approx(scene(image_factor=True).planted.sum() * MASK_UM**2)


def test_squares_that_reach_over_the_field_are_padded_as_unplanted():
    small = make_scene(
        slide="s", patient="p", site="ZA", image_factor=True, empty=False, planted_share=1.0, field_um=300.0,
        seed=3,
    )  # fmt: skip
    shares = planted_squares(small, edge_um=28.0)
    assert shares.shape == (11, 11)
    assert shares.sum() * 49 == pytest.approx(small.planted.sum())


def test_equal_arguments_give_equal_bytes_and_another_slide_gives_others(tmp_path):
    (tmp_path / "again").mkdir()
    first, again = write(tmp_path, "s"), write(tmp_path / "again", "s")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    assert write(tmp_path, "t")[0].read_bytes() != first[0].read_bytes()


def test_a_slide_without_resolution_has_no_mpp(tmp_path):
    with openslide.OpenSlide(write(tmp_path, "bare")[0]) as slide:
        assert "openslide.mpp-x" not in slide.properties and "openslide.mpp-y" not in slide.properties


def test_empty_glass_has_no_tissue_and_nothing_planted(tmp_path):
    path, truth = write(tmp_path, "empty")
    with openslide.OpenSlide(path) as slide:
        image = pixels(slide).astype(int)
    assert np.ptp(image, axis=(0, 1)).max() <= 4
    assert pd.read_parquet(truth)["planted_share"].eq(0).all()


def test_a_truncated_slide_cannot_be_read(tmp_path):
    path, _ = write(tmp_path, "cut")
    with pytest.raises(openslide.OpenSlideError), openslide.OpenSlide(path) as slide:
        pixels(slide)


def test_an_unknown_site_is_refused(tmp_path):
    with pytest.raises(InputError, match="site 'QQ' cannot be simulated; use one of ZA"):
        write(tmp_path, "s", site="QQ")
    assert not list(tmp_path.iterdir())
