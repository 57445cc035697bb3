"""Folders of ready-made tiles of real TCGA patients, exported from QuPath."""

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

DATA = SHARED / "hist2rna_tcga_tiles"
pytestmark = needs_shared_data


@pytest.mark.parametrize("patient", ["TCGA-A2-A04R", "TCGA-A2-A04Y", "TCGA-A2-A0YG"])
def test_a_patient(tmp_path, patient):
    folder = DATA / patient
    outputs = {
        "out_h5": tmp_path / "t.h5",
        "out_geojson": tmp_path / "t.geojson",
        "out_png": tmp_path / "t.png",
    }
    assert tile_slide(slide=patient, path=str(folder), mpp=None, settings=Tiles(), on_error="stop", **outputs) == "ok"
    table = read_tiles(tmp_path / "t.h5")
    files = sorted(file.name for file in folder.iterdir())
    assert sorted(table.tile_file) == files and len(files) > 3
    for file, (x, y) in zip(table.tile_file, table.coords.tolist(), strict=True):
        assert f"[x={x},y={y},w=224,h=224]" in file
    assert table.attributes["patch_size_level0"] == 224
    assert table.attributes["mpp_source"] == "none"
    status = extract(
        slide=patient,
        path=str(folder),
        tiles_h5=tmp_path / "t.h5",
        out_h5=tmp_path / "f.h5",
        encoder=TileEncoder(load(Encoder(name="efficientnet_lite0")), device=torch.device("cpu"), arithmetic="auto"),
        precision="float16",
        max_failed_share=0.0,
        on_error="stop",
        tile_batch=8,
        read_workers=2,
    )
    assert status == "ok"
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["features"].shape == (len(files), 1280) and file["features"].dtype == np.float16
        assert np.isnan(file["coords"].attrs["level0_mpp"])
