"""Every file of a folder of small real and deliberately awkward slides goes through tiles and features."""

import h5py
import numpy as np
import pytest
import torch
from running import SHARED, needs_shared_data

from histoweave.encoders.inference import TileEncoder
from histoweave.encoders.loading import load
from histoweave.features.slide import extract
from histoweave.settings.encoder import Encoder
from histoweave.settings.tiles import Tiles
from histoweave.slides.store import read_tiles
from histoweave.tiles.slide import tile_slide

DATA = SHARED / "wsi_slides"
pytestmark = needs_shared_data

# (override of the spacing in µm per px, status, words of the reason), as each file's description demands.
EXPECTED = {
    "CMU-1-Small-Region.svs": (None, "ok", ""),
    "OS-1-detail.ome.tif": (None, "unreadable", "OpenSlide cannot open"),
    "boxes.tiff": (None, "implausible_mpp", "352.8"),
    "boxes_0_dicom": (None, "too_small", "16 x 16 px"),
    "broken.svs": (None, "unreadable", "OpenSlide cannot open"),
    "camelyon_jpeg_dicom": (None, "implausible_mpp", "28.97"),
    "cmu1_dicom_pyramid": (None, "odd_colours", "mislabelled"),
    "dicom_test_image.dcm": (None, "unreadable", "OpenSlide cannot open"),
    "patch.tif": (None, "no_mpp", "column mpp"),
    "small.svs": (None, "too_small", "16 x 16 px"),
    "test3-TRITC 2 (560).ndpi": (None, "not_brightfield", "fluorescence"),
    "test_orient6.tif": (None, "implausible_mpp", "352.9"),
    "unreadable.svs": (None, "unreadable", "cannot read level 0"),
    "yb10kx5k.zstd.tiff": (None, "implausible_mpp", "352.9"),
}
WITH_OVERRIDE = {
    "patch.tif": (0.5, "ok", ""),
    "yb10kx5k.zstd.tiff": (0.5, "odd_colours", "255, 255, 0"),
    "camelyon_jpeg_dicom": (2.0, "too_coarse", "coarser"),
    "CMU-1-Small-Region.svs": (0.25, "ok", ""),
}
CASES = [(name, *case) for table in (EXPECTED, WITH_OVERRIDE) for name, case in table.items()]


@pytest.fixture(scope="module")
def encoder():
    return TileEncoder(load(Encoder(name="efficientnet_lite0")), device=torch.device("cpu"), arithmetic="auto")


def test_every_file_of_the_folder_is_in_the_table():
    assert {path.name for path in DATA.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize(("name", "mpp", "status", "words"), CASES)
def test_slide(tmp_path, encoder, name, mpp, status, words):
    place = {"slide": "S1", "path": str(DATA / name)}
    tiles_h5, png, geojson = tmp_path / "t.h5", tmp_path / "t.png", tmp_path / "t.geojson"
    found = tile_slide(
        **place,
        mpp=mpp,
        settings=Tiles(),
        on_error="continue",
        out_h5=tiles_h5,
        out_geojson=geojson,
        out_png=png,
    )
    table = read_tiles(tiles_h5)
    assert (found, table.status) == (status, status)
    assert words in table.reason and bool(table.reason) == (status != "ok")
    assert png.read_bytes()[:4] == b"\x89PNG" and geojson.is_file()
    assert (len(table.coords) > 0) == (status == "ok")

    found = extract(
        **place,
        tiles_h5=tiles_h5,
        out_h5=tmp_path / "f.h5",
        encoder=encoder,
        precision="float32",
        max_failed_share=0.1,
        on_error="continue",
        tile_batch=16,
        read_workers=2,
    )
    with h5py.File(tmp_path / "f.h5") as file:
        assert (found, file.attrs["status"], file.attrs["reason"]) == (status, status, table.reason)
        features = file["features"][()]
        assert (file["coords"][()] == table.coords).all()
    assert features.shape == (len(table.coords), 1280)
    assert np.isfinite(features).all()


def test_the_real_section_is_found_and_its_glass_is_not(tmp_path):
    outputs = {
        "out_h5": tmp_path / "t.h5",
        "out_geojson": tmp_path / "t.geojson",
        "out_png": tmp_path / "t.png",
    }
    path = str(DATA / "CMU-1-Small-Region.svs")
    tile_slide(slide="S1", path=path, mpp=None, settings=Tiles(), on_error="stop", **outputs)
    table = read_tiles(tmp_path / "t.h5")
    attributes = table.attributes
    assert (attributes["level0_width"], attributes["level0_height"]) == (2220, 2967)
    assert (attributes["level0_mpp"], attributes["mpp_source"]) == (0.499, "openslide")
    # The section is a vertical band; the rightmost and the leftmost sixth are glass from top to bottom.
    assert table.coords[:, 0].min() > 2220 / 6
    assert table.coords[:, 0].max() + 224 < 2220 * 5 / 6 + 224
    assert 35 <= len(table.coords) <= 60
