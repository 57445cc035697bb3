"""Our files, made by the real stages, read as CLAM, TRIDENT, slide encoders and STAMP read theirs, and by ourselves.

Which names those tools ask for, and which square of the slide they cut for a row: interop_ours.py.
"""

import h5py
import numpy as np
import openslide
import pytest
import torch
from interop_ours import clam_extents, encoding, making, same_extent_in_clam, trident_extents  # noqa: F401
from slide_scenes import SMALL_TILES

from histoweave.interop.coords import given_tiles
from histoweave.interop.export import export_clam, export_stamp
from histoweave.interop.features import given_features
from histoweave.slides.spacing import Spacing
from histoweave.slides.store import read_tiles, write_tiles

# 0.25: level 1 has exactly the tiles' 0.5 µm per px. 0.2: tiles are cut from level 1 at 0.4 and shrunk.
SPACINGS = [0.25, 0.2]
CLAM_NAMES = {"patch_size", "patch_level", "downsample", "name"}
TRIDENT_NAMES = {
    "patch_size", "patch_size_level0", "level0_magnification", "target_magnification", "overlap", "name",
    "level0_width", "level0_height",
}  # fmt: skip
OWN_NAMES = {"target_mpp", "level0_mpp", "mpp_source", "scanner_vendor", "scanner_model", "objective_power"}


@pytest.mark.parametrize("stage", ["tiles", "features"])
def test_every_name_is_there(make, stage):
    with h5py.File(getattr(make(0.25), stage)) as file:
        attributes = dict(file["coords"].attrs)
    assert attributes.keys() >= CLAM_NAMES | TRIDENT_NAMES | OWN_NAMES
    assert all(isinstance(attributes[key], np.integer) for key in ("patch_size", "patch_size_level0", "patch_level"))


def clam_bag(features_h5):
    """CLAM's datasets with h5 bags: rows for a linear layer, one place each."""
    with h5py.File(features_h5) as file:
        features = torch.from_numpy(file["features"][:])
        return features, file["coords"][:]


def test_clam_bags(make):
    files = make(0.25)
    features, coords = clam_bag(files.features)
    table = read_tiles(files.tiles)
    assert features.dtype == torch.float32 and features.shape == (len(table.coords), features.shape[1])
    torch.nn.Linear(features.shape[1], 2)(features)
    assert (coords == table.coords).all()


@pytest.mark.parametrize("mpp", SPACINGS)
@pytest.mark.parametrize("stage", ["tiles", "features", "clam"])
def test_trident_cuts_our_squares(make, tmp_path, mpp, stage):
    files = make(mpp)
    export_clam(files.tiles, tmp_path / "clam.h5")
    h5 = {"tiles": files.tiles, "features": files.features, "clam": tmp_path / "clam.h5"}[stage]
    coords, edge, overlap, px = trident_extents(h5)
    attributes = read_tiles(files.tiles).attributes
    assert (coords == read_tiles(files.tiles).coords).all()
    assert (edge, overlap) == (attributes["patch_size_level0"], 0) == (round(32 / mpp), 0)
    with h5py.File(h5) as file, openslide.OpenSlide(files.slide) as slide:
        stored = file["coords"].attrs
        assert (stored["level0_width"], stored["level0_height"]) == slide.dimensions
        assert stored["name"] == "S1"
        if stage != "clam":
            assert px == 64
        # The slide's spacing follows from either pair, nominal as TRIDENT's are.
        assert 10 / stored["level0_magnification"] == pytest.approx(mpp)
        assert stored["target_mpp"] * px == pytest.approx(32)


def test_trident_reads_the_encoder(make):
    with h5py.File(make(0.25).features) as file:
        assert file["features"].attrs["encoder"] == "small"
        assert file["features"].attrs["name"] == "S1"


@pytest.mark.parametrize("mpp", SPACINGS)
def test_slide_encoders_find_the_edge_in_level0_px(make, mpp):
    with h5py.File(make(mpp).features) as file:
        edge = file["coords"].attrs["patch_size_level0"]
        coords = file["coords"][:]
    assert edge == round(32 / mpp) and (coords % edge == 0).all()  # the grid index that such encoders compute


@pytest.mark.parametrize("mpp", SPACINGS)
def test_clam_cuts_our_squares_from_the_export_always_and_from_our_own_file_where_a_level_has_the_scale(
    make, tmp_path, mpp
):
    files = make(mpp)
    export_clam(files.tiles, tmp_path / "clam.h5")
    attributes = read_tiles(files.tiles).attributes
    edge = attributes["patch_size_level0"]
    with openslide.OpenSlide(files.slide) as slide:
        coords, level, px = clam_extents(tmp_path / "clam.h5")
        assert px * slide.level_downsamples[level] == pytest.approx(edge, abs=slide.level_downsamples[level] / 2)
        assert level == attributes["patch_level"] == 1
        place = tuple(coords[3].tolist())
        seen = np.asarray(slide.read_region(place, level, (px, px)).convert("RGB"), np.float32)
        whole = np.asarray(slide.read_region(place, 0, (edge, edge)).convert("RGB"), np.float32)
        halved = whole.reshape(edge // 2, 2, edge // 2, 2, 3).mean(axis=(1, 3))
        beside = np.roll(halved, 8, axis=1)
        assert seen.shape == halved.shape  # and the same square, but for JPEG:
        assert np.abs(seen - halved).mean() < 4 < np.abs(seen - beside).mean()
        _, level, px = clam_extents(files.tiles)
        own = px * slide.level_downsamples[level]
    assert same_extent_in_clam(attributes) == (mpp == 0.25)
    assert (own == edge) == same_extent_in_clam(attributes)
    with h5py.File(tmp_path / "clam.h5") as file:
        stored = dict(file["coords"].attrs)
    with openslide.OpenSlide(files.slide) as slide:
        assert tuple(stored["level_dim"]) == tuple(stored["downsampled_level_dim"]) == slide.level_dimensions[1]
        assert tuple(stored["downsample"]) == (slide.level_downsamples[1],) * 2
    assert {"name", "save_path"} <= set(stored)


@pytest.mark.parametrize("mpp", SPACINGS)
@pytest.mark.parametrize("form", ["own", "clam", "stamp"])
def test_what_we_write_we_take_again(make, tmp_path, mpp, form):
    files = make(mpp)
    table = read_tiles(files.tiles)
    h5 = files.tiles
    if form == "clam":
        export_clam(files.tiles, h5 := tmp_path / "c.h5")
    elif form == "stamp":
        export_stamp(files.features, h5 := tmp_path / "s.h5")
    with openslide.OpenSlide(files.slide) as slide:
        again = given_tiles(
            "S1", h5, size_lv0=slide.dimensions, spacing=Spacing(mpp, mpp, "openslide"),
            downsamples=slide.level_downsamples, settings=SMALL_TILES,
        )  # fmt: skip
    assert (again.coords == table.coords).all()
    kept = ("patch_size_level0", "patch_level", "downsample", "level0_mpp", "level0_width")
    assert [again.attributes[key] for key in kept] == pytest.approx([table.attributes[key] for key in kept])
    if form == "own":
        assert (again.tissue_fraction == table.tissue_fraction).all()
        assert again.attributes == pytest.approx(
            table.attributes | {"mpp_source": again.attributes["mpp_source"]}, nan_ok=True
        )


def test_clam_coordinates_lead_to_the_features_of_the_same_squares(make, encode, tmp_path):
    files = make(0.25)
    own = read_tiles(files.tiles)
    edge = own.attributes["patch_size_level0"]
    with openslide.OpenSlide(files.slide) as slide:
        over_the_edge = [slide.dimensions[0] - edge // 2, slide.dimensions[1] - edge // 2]
        with h5py.File(tmp_path / "clam.h5", "w") as file:
            rows = np.concatenate([own.coords[::-1], [over_the_edge]]).astype(np.int32)
            file.create_dataset("coords", data=rows).attrs.update(
                patch_size=64, patch_level=1, downsample=slide.level_downsamples[1]
            )
        table = given_tiles(
            "S1", tmp_path / "clam.h5", size_lv0=slide.dimensions, spacing=Spacing(0.25, 0.25, "openslide"),
            downsamples=slide.level_downsamples, settings=SMALL_TILES,
        )  # fmt: skip
    write_tiles(tmp_path / "t.h5", table)
    assert encode(files.slide, tmp_path / "t.h5", tmp_path / "f.h5") == "ok"
    with h5py.File(files.features) as ours, h5py.File(tmp_path / "f.h5") as theirs:
        assert (theirs["coords"][:-1] == ours["coords"][:]).all() and theirs["coords"][-1].tolist() == over_the_edge
        np.testing.assert_allclose(theirs["features"][:-1], ours["features"][:], rtol=1e-5, atol=1e-6)


def test_our_features_we_take_again(make):
    files = make(0.2)
    taken = given_features("S1", files.features, settings=SMALL_TILES)
    with h5py.File(files.features) as file:
        assert (np.concatenate(list(taken.blocks())) == file["features"][:]).all()
        stored = dict(file["coords"].attrs)
        assert taken.encoder_attributes.keys() == dict(file["features"].attrs).keys()
    assert taken.encoder_attributes["weights_sha256"] == "5" * 64 and taken.encoder == "small"
    assert taken.attributes == pytest.approx(stored, nan_ok=True) and taken.attributes["mpp_source"] == "openslide"


def test_stamp_reads_the_export(make, tmp_path):
    files = make(0.2)
    export_stamp(files.features, tmp_path / "s.h5")
    with h5py.File(files.features) as own, h5py.File(tmp_path / "s.h5") as file:
        assert file["feats"].dtype == np.float16 and file["coords"].dtype == np.float32
        assert (file["feats"][:] == own["features"][:].astype(np.float16)).all()
        np.testing.assert_allclose(file["coords"][:], own["coords"][:] * 0.2, rtol=1e-6)
        attributes = dict(file.attrs)
    assert (attributes["unit"], attributes["feat_type"], attributes["extractor"]) == ("um", "tile", "small")
    assert attributes["tile_size_um"] == pytest.approx(32) and attributes["tile_size_px"] == 64
    # Its spacing of a tile, by its own reckoning.
    assert attributes["tile_size_um"] / attributes["tile_size_px"] == pytest.approx(0.5)
    taken = given_features("S1", tmp_path / "s.h5", settings=SMALL_TILES, spacing=Spacing(0.2, 0.2, "override"))
    assert taken.encoder == "small" and taken.attributes["patch_size_level0"] == 160
