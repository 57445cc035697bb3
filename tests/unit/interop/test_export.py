"""Our files, made by the real stages, exported for scverse, CLAM and STAMP: what is in them, and what is refused."""

import math

import anndata
import h5py
import numpy as np
import pytest
from interop_ours import clam_extents, encoding, making, same_extent_in_clam, trident_extents  # noqa: F401
from slide_scenes import SMALL_TILES

from histoweave.errors import InputError
from histoweave.interop.export import export_anndata, export_clam, export_stamp
from histoweave.interop.features import given_features
from histoweave.slides.store import read_tiles, write_tiles


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
