"""Our files, made by the real stages, read as CLAM, TRIDENT, slide encoders, STAMP and scverse read theirs.

The readers here follow the documented behaviour of those tools: which names they ask for, and which square of the
slide they cut for a row. A name that vanishes from our files is a KeyError here.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import anndata
import h5py
import numpy as np
import openslide
import pytest
import timm
import torch
from slide_scenes import SMALL_TILES, tissue_scene, write_slide

from histoweave.encoders.inference import TileEncoder
from histoweave.encoders.loading import LoadedEncoder
from histoweave.errors import InputError
from histoweave.features import extract
from histoweave.interop.coords import given_tiles
from histoweave.interop.export import export_anndata, export_clam, export_stamp
from histoweave.interop.features import given_features
from histoweave.slides.spacing import Spacing
from histoweave.slides.store import read_tiles, write_tiles
from histoweave.slides.tiling import tile_slide


def same_extent_in_clam(attributes):
    """Whether CLAM's `patch_size` px at `patch_level` are our tile, whose `patch_size` is counted at `target_mpp`."""
    downsample = 1.0 if np.isnan(attributes["downsample"]) else attributes["downsample"]
    return attributes["patch_size"] == round(attributes["patch_size_level0"] / downsample)


@dataclass(frozen=True)
class Made:
    slide: Path
    tiles: Path
    features: Path
    mpp: float


@pytest.fixture(scope="module")
def encode():
    """Runs the feature stage with a small network."""
    torch.manual_seed(0)
    module = timm.create_model("test_vit", num_classes=0, img_size=48).eval().requires_grad_(False)
    encoder = LoadedEncoder(
        name="small", module=module, dim=module.num_features, input_px=48, mean=(0.7, 0.55, 0.7), std=(0.2, 0.25, 0.2),
        interpolation="bicubic", weights_sha256="5" * 64,
    )  # fmt: skip
    ready = TileEncoder(encoder, device=torch.device("cpu"), arithmetic="float32")

    def run(slide, tiles_h5, out_h5):
        return extract(
            slide="S1", path=str(slide), tiles_h5=tiles_h5, out_h5=out_h5, encoder=ready, precision="float32",
            max_failed_share=0.0, on_error="continue", tile_batch=64, read_workers=2,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def make(tmp_path_factory, encode):
    """Runs both stages on a synthetic slide with two levels, the second half the first."""
    made: dict = {}

    def run(mpp, *, empty=False) -> Made:
        if (mpp, empty) not in made:
            folder = tmp_path_factory.mktemp("made")
            scene = tissue_scene(mpp)
            path = write_slide(folder / "a.tiff", np.full_like(scene, 243) if empty else scene, mpp=mpp, levels=2)
            files = Made(path, folder / "t.h5", folder / "f.h5", mpp)
            tile_slide(
                slide="S1", path=str(path), mpp=None, settings=SMALL_TILES, on_error="continue", out_h5=files.tiles,
                out_geojson=folder / "t.geojson", out_png=folder / "t.png",
            )  # fmt: skip
            encode(path, files.tiles, files.features)
            made[mpp, empty] = files
        return made[mpp, empty]

    return run


# 0.25: level 1 has exactly the tiles' 0.5 µm per px. 0.2: tiles are cut from level 1 at 0.4 and shrunk.
SPACINGS = [0.25, 0.2]


CLAM_NAMES = {"patch_size", "patch_level", "downsample", "name"}
TRIDENT_NAMES = {
    "patch_size", "patch_size_level0", "level0_magnification", "target_magnification", "overlap", "name",
    "level0_width", "level0_height",
}  # fmt: skip
OWN_NAMES = {"target_mpp", "level0_mpp", "mpp_source"}


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


def clam_extents(h5):
    """CLAM's patch dataset: (N,3) x, y and edge in level-0 px of what it cuts with `read_region`; level, px."""
    with h5py.File(h5) as file:
        coords = file["coords"]
        level, px = coords.attrs["patch_level"], coords.attrs["patch_size"]
        return coords[:], int(level), int(px)


def trident_extents(h5):
    """TRIDENT's patcher: edge in level-0 px from the two magnifications, and the px that it then resizes to."""
    with h5py.File(h5) as file:
        attributes = dict(file["coords"].attrs)
        wanted = [attributes[key] for key in ("patch_size", "level0_magnification", "target_magnification", "overlap")]
        px, magnification, target, overlap = wanted
        scale = (10 / target) / (10 / magnification)
        return file["coords"][:], round(px * scale), round(overlap * scale), int(px)


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
        assert again.attributes == pytest.approx(table.attributes | {"mpp_source": again.attributes["mpp_source"]})


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
    assert taken.attributes == pytest.approx(stored) and taken.attributes["mpp_source"] == "openslide"


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


def test_stamp_export_refuses_what_its_form_cannot_hold(make, tmp_path):
    source = make(0.25).features.read_bytes()
    (tmp_path / "f.h5").write_bytes(source)
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file["features"][0, 0] = 1e6
    with pytest.raises(InputError, match="beyond float16"):
        export_stamp(tmp_path / "f.h5", tmp_path / "s.h5")
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file["coords"].attrs["level0_mpp"] = math.nan
    with pytest.raises(InputError, match="give the slide's mpp"):
        export_stamp(tmp_path / "f.h5", tmp_path / "s.h5")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["f.h5"]


def test_anndata_holds_tiles_as_observations(make, tmp_path):
    files = make(0.2)
    export_anndata(files.tiles, files.features, tmp_path / "s.h5ad", patient="P1")
    data = anndata.read_h5ad(tmp_path / "s.h5ad")
    table = read_tiles(files.tiles)
    with h5py.File(files.features) as file:
        assert data.X.dtype == np.float32 and (file["features"][:] == data.X).all()
    assert list(data.obs.columns) == ["slide", "patient", "tissue_fraction", "x_lv0", "y_lv0"]
    assert set(data.obs["slide"]) == {"S1"} and set(data.obs["patient"]) == {"P1"}
    assert (data.obs["tissue_fraction"] == table.tissue_fraction).all() and data.obs_names.is_unique
    assert (data.obs[["x_lv0", "y_lv0"]].to_numpy() == table.coords).all()
    # Centres in level-0 px, as the centres of spots are in px of the full-resolution image.
    assert (data.obsm["spatial"] == table.coords + 80).all()
    ours = data.uns["histoweave"]
    assert (ours["slide"], ours["status"], ours["reason"], ours["spatial_point"]) == ("S1", "ok", "", "centre")
    assert ours["tiles"]["level0_mpp"] == pytest.approx(0.2) and ours["tiles"]["patch_size_level0"] == 160
    assert (ours["encoder"]["encoder"], ours["encoder"]["weights_sha256"]) == ("small", "5" * 64)
    assert data.uns["spatial"]["S1"]["scalefactors"]["spot_diameter_fullres"] == 160
    export_anndata(files.tiles, files.features, tmp_path / "again.h5ad", patient="P1")
    assert (tmp_path / "again.h5ad").read_bytes() == (tmp_path / "s.h5ad").read_bytes()


def test_anndata_leaves_out_tiles_that_failed_and_keeps_the_order_of_features(make, tmp_path):
    files = make(0.25)
    (tmp_path / "f.h5").write_bytes(files.features.read_bytes())
    kept = np.array([5, 0, 3])
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        for name in ("features", "coords"):
            rows, attributes = file[name][:][kept], dict(file[name].attrs)
            del file[name]
            file.create_dataset(name, data=rows).attrs.update(attributes)
    export_anndata(files.tiles, tmp_path / "f.h5", tmp_path / "s.h5ad")
    data = anndata.read_h5ad(tmp_path / "s.h5ad")
    assert (data.obs["tissue_fraction"] == read_tiles(files.tiles).tissue_fraction[kept]).all()
    assert "patient" not in data.obs
    other = make(0.2)
    with pytest.raises(InputError, match="not in the tile file"):
        export_anndata(files.tiles, other.features, tmp_path / "x.h5ad")


def test_a_refused_slide_exports_no_tiles_but_its_status(make, tmp_path):
    files = make(0.5, empty=True)
    export_anndata(files.tiles, files.features, tmp_path / "s.h5ad", patient="P1")
    data = anndata.read_h5ad(tmp_path / "s.h5ad")
    assert data.n_obs == 0 and data.obsm["spatial"].shape == (0, 2)
    assert data.uns["histoweave"]["status"] == "no_tissue" and data.uns["histoweave"]["reason"]
    export_clam(files.tiles, tmp_path / "c.h5")
    export_stamp(files.features, tmp_path / "s.h5")
    for name in ("c.h5", "s.h5"):
        with h5py.File(tmp_path / name) as file:
            assert len(file["coords"]) == 0 and file.attrs["status"] == "no_tissue"


def test_clam_export_of_tiles_that_came_with_features(tmp_path):
    attributes = {
        "patch_size": 256, "patch_size_level0": 443, "level0_magnification": 40, "target_magnification": 20, "overlap": 0,
        "level0_width": 2000, "level0_height": 1000,
    }  # fmt: skip
    with h5py.File(tmp_path / "trident.h5", "w") as file:
        file["features"] = np.ones((2, 3), np.float32)
        file.create_dataset("coords", data=[[0, 0], [443, 0]]).attrs.update(attributes)
    settings = SMALL_TILES.model_copy(update={"tile_px": 256})
    table = given_features("S1", tmp_path / "trident.h5", settings=settings).tile_table()
    write_tiles(tmp_path / "t.h5", table)
    export_clam(tmp_path / "t.h5", tmp_path / "c.h5")
    assert clam_extents(tmp_path / "c.h5")[1:] == (0, 443) and not same_extent_in_clam(table.attributes)
    assert trident_extents(tmp_path / "c.h5")[1] == 443
    with h5py.File(tmp_path / "trident.h5", "r+") as file:
        for name in list(attributes):
            del file["coords"].attrs[name]
    write_tiles(tmp_path / "t.h5", given_features("S1", tmp_path / "trident.h5", settings=settings).tile_table())
    with pytest.raises(InputError, match="size of the tiles is not known"):
        export_clam(tmp_path / "t.h5", tmp_path / "d.h5")


def test_anndata_without_a_tile_size_says_that_places_are_corners(tmp_path):
    corners = np.array([[0, 0], [256, 0]])
    with h5py.File(tmp_path / "clam.h5", "w") as file:
        file["features"], file["coords"] = np.ones((2, 3), np.float32), corners
    taken = given_features("S1", tmp_path / "clam.h5", settings=SMALL_TILES)
    write_tiles(tmp_path / "t.h5", taken.tile_table())
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("features", data=np.concatenate(list(taken.blocks()))).attrs.update(
            taken.encoder_attributes
        )
        file.create_dataset("coords", data=taken.coords).attrs.update(taken.attributes)
        file.attrs.update(slide="S1", status="ok", reason="")
    export_anndata(tmp_path / "t.h5", tmp_path / "f.h5", tmp_path / "s.h5ad")
    data = anndata.read_h5ad(tmp_path / "s.h5ad")
    assert data.uns["histoweave"]["spatial_point"] == "corner" and (data.obsm["spatial"] == corners).all()
    assert np.isnan(data.obs["tissue_fraction"]).all()
    assert "spot_diameter_fullres" not in data.uns["spatial"]["S1"].get("scalefactors", {})
