"""Tiling, features and exports of a shard: one job, several slides of every kind, each with its own outcome."""

from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from slide_scenes import SMALL_TILES, destroy_tile, tissue_scene, write_slide

from histoweave.cohort.join import slide_status
from histoweave.errors import InputError
from histoweave.features.extract_features import extract_shard
from histoweave.interop.export_slides import export_shard
from histoweave.settings.encoder import Encoder
from histoweave.slides.store import read_tiles
from histoweave.storage.records import artefacts
from histoweave.tiles.tile_slides import tile_shard


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), path)
    return str(path)


class Run:
    def __init__(self, root, weights):
        self.root, self.index = root, "0-of-1.json"
        self.encoder = Encoder(name="timm:test_resnet", weights=weights, input_px=64)
        self.slides = []

    def add(self, slide, path="", **more):
        self.slides.append({"slide": slide, "path": str(path), "mpp": None, "coords": "", "features": ""} | more)

    def place(self, stage):
        return self.root / stage / "shards" / self.index

    def tile(self, **changes):
        settings = {"settings": SMALL_TILES, "on_error": "continue", "code": "c", "workers": 2}
        records = tile_shard(self.slides, index=self.place("tiles"), **(settings | changes))
        return {record.slide: record.outcome for record in records}

    def extract(self, **changes):
        settings = {
            "encoder": self.encoder, "arithmetic": "float32", "tiles": SMALL_TILES, "precision": "float32",
            "on_error": "continue", "code": "c", "device": "cpu", "tile_batch": 16, "read_workers": 1,
        }  # fmt: skip
        where = {"index": self.place("features"), "tiles_index": self.place("tiles")}
        records = extract_shard(self.slides, **where, **(settings | changes))
        return {record.slide: record.outcome for record in records}

    def export(self, form):
        patients = {given["slide"]: f"P-{given['slide']}" for given in self.slides}
        where = {"tiles_index": self.place("tiles"), "features_index": self.place("features")}
        export_shard(form, index=self.place(f"exports/{form}"), patients=patients, code="c", **where)
        return self.root / "exports" / form


@pytest.fixture
def run(tmp_path, weights):
    found = Run(tmp_path / "run", weights)
    for slide in "ab":
        found.add(slide, write_slide(tmp_path / f"{slide}.tiff", tissue_scene(0.5), mpp=0.5))
    return found


def test_every_slide_has_its_own_outcome(run, tmp_path):
    run.add("c", tmp_path / "gone.tiff")
    run.add("d", write_slide(tmp_path / "d.tiff", tissue_scene(0.5), mpp=None))
    assert {slide: outcome.status for slide, outcome in run.tile().items()} == {
        "a": "ok", "b": "ok", "c": "missing_file", "d": "no_mpp",
    }  # fmt: skip
    outcomes = run.extract()
    assert {slide: outcome.status for slide, outcome in outcomes.items()} == {
        "a": "ok", "b": "ok", "c": "missing_file", "d": "no_mpp",
    }  # fmt: skip
    with h5py.File(run.root / "features" / "a.h5") as file:
        assert file.attrs["features_sha256"] == outcomes["a"].content and len(file["coords"]) == outcomes["a"].n_tiles


def test_a_bug_in_one_slide_fails_that_slide_alone(run, monkeypatch):
    run.tile()
    import histoweave.features.extract_features as stage

    real = stage.extract

    def extract(*, slide, **more):
        if slide == "a":
            raise RuntimeError("a bug")
        return real(slide=slide, **more)

    monkeypatch.setattr(stage, "extract", extract)
    outcomes = run.extract()
    assert outcomes["a"].status == "failed" and "a bug" in outcomes["a"].reason and outcomes["b"].status == "ok"
    with h5py.File(run.root / "features" / "a.h5") as file:
        assert file.attrs["status"] == "failed" and len(file["features"]) == 0
    monkeypatch.setattr(stage, "extract", real)
    assert run.extract()["a"].status == "ok"


def test_new_tiles_give_new_features_of_that_slide_only(run):
    run.tile(), run.extract()
    before = {slide: (run.root / "features" / f"{slide}.h5").stat().st_ino for slide in "ab"}
    run.slides[0]["mpp"] = 0.45
    run.tile()
    run.extract()
    after = {slide: (run.root / "features" / f"{slide}.h5").stat().st_ino for slide in "ab"}
    assert after["a"] != before["a"] and after["b"] == before["b"]


def test_another_limit_of_failed_tiles_encodes_only_what_it_concerns(run):
    destroyed, _ = (given["path"] for given in run.slides)
    write_slide(Path(destroyed), tissue_scene(0.5, field_um=(1200.0, 256.0)), mpp=0.5, levels=3)
    destroy_tile(Path(destroyed), column=5, row=4)
    run.tile()
    inode = lambda: (run.root / "features" / "b.h5").stat().st_ino  # noqa: E731
    first = run.extract()
    assert first["a"].status == first["b"].status == "ok" and first["a"].n_failed_tiles > 0
    before = inode()
    strict, lenient = (SMALL_TILES.model_copy(update={"max_failed_share": share}) for share in (0.001, 0.5))
    refused = run.extract(tiles=strict)
    assert refused["a"].status == "unreadable_tiles" and refused["a"].n_failed_tiles == first["a"].n_failed_tiles
    assert run.extract(tiles=strict) == refused
    assert run.extract(tiles=lenient) == first and inode() == before


def test_a_strict_run_works_on_no_slide_again(run):
    run.tile(), run.extract()
    files = [run.root / stage / f"{slide}.h5" for stage in ("tiles", "features") for slide in "ab"]
    before = [file.stat().st_ino for file in files]
    run.tile(on_error="stop"), run.extract(on_error="stop")
    assert [file.stat().st_ino for file in files] == before


def test_the_network_is_loaded_once_and_only_if_needed(run, monkeypatch):
    import histoweave.features.extract_features as stage

    loads = []
    real = stage.load
    monkeypatch.setattr(stage, "load", lambda encoder: loads.append(1) or real(encoder))
    run.tile(), run.extract(), run.extract()
    assert loads == [1]
    run.extract(tile_batch=3, read_workers=2)
    assert loads == [1]
    run.extract(arithmetic="auto")
    assert loads == [1, 1]


def test_coordinates_and_features_made_elsewhere(run, tmp_path):
    run.tile(), run.extract()
    tiles, features = run.root / "tiles" / "a.h5", run.root / "features" / "a.h5"
    table = read_tiles(tiles)
    foreign = tmp_path / "trident.h5"
    with h5py.File(foreign, "w") as file:
        coords = file.create_dataset("coords", data=table.coords[::-2])
        coords.attrs.update(
            patch_size=64, patch_size_level0=64, level0_magnification=20, target_magnification=20, overlap=0, name="a",
            level0_width=table.attributes["level0_width"], level0_height=table.attributes["level0_height"],
        )  # fmt: skip
    ours = tmp_path / "ours.h5"
    ours.write_bytes(features.read_bytes())
    run.slides[0]["coords"] = str(foreign)
    run.add("f", features=str(ours))
    run.add("g", features=str(tmp_path / "broken.h5"))
    (tmp_path / "broken.h5").write_bytes(b"no HDF5")
    statuses = {slide: outcome.status for slide, outcome in run.tile().items()}
    assert statuses == {"a": "ok", "b": "ok", "f": "ok", "g": "unreadable"}
    assert {slide: outcome.status for slide, outcome in run.extract().items()} == statuses
    with h5py.File(ours) as whole, h5py.File(features) as half, h5py.File(run.root / "features" / "f.h5") as adopted:
        every_other = np.isin(np.arange(len(table.coords)), np.arange(len(table.coords))[::-2])
        assert (half["coords"][()] == whole["coords"][()][every_other]).all()
        np.testing.assert_allclose(half["features"][()], whole["features"][()][every_other], rtol=1e-4, atol=1e-5)
        assert (adopted["features"][()] == whole["features"][()]).all()
        assert adopted["features"].attrs["encoder"] == "timm:test_resnet"
    slides = cohort_slides(run)
    assert slides.set_index("slide").loc["g", "stage"] == "tiles"
    assert set(slides.loc[slides["status"] == "ok", "slide"]) == {"a", "b", "f"}


def cohort_slides(run):
    import pandas as pd

    table = pd.DataFrame(run.slides).assign(patient="p")
    return slide_status(table, tiles=artefacts([run.place("tiles")]), features=artefacts([run.place("features")]))


def test_two_encoders_in_one_cohort_are_refused(run, tmp_path):
    run.tile(), run.extract()
    other = tmp_path / "other.h5"
    other.write_bytes((run.root / "features" / "a.h5").read_bytes())
    with h5py.File(other, "r+") as file:
        file["features"].attrs["encoder"] = "another"
    run.add("z", features=str(other))
    run.tile(), run.extract()
    with pytest.raises(InputError, match=r"slide 'a'.*'timm:test_resnet'.*slide 'z'.*'another'"):
        cohort_slides(run)


def test_exports(run):
    run.add("d", run.root.parent / "gone.tiff")
    run.tile(), run.extract()
    data = anndata.read_h5ad(run.export("anndata") / "a.h5ad")
    with h5py.File(run.root / "features" / "a.h5") as file:
        assert (file["features"][()] == data.X).all()
        edge = file["coords"].attrs["patch_size_level0"]
        assert (data.obsm["spatial"] == file["coords"][()] + edge / 2).all()
    assert set(data.obs["patient"]) == {"P-a"}
    assert anndata.read_h5ad(run.root / "exports" / "anndata" / "d.h5ad").uns["histoweave"]["status"] == "missing_file"
    for form in ("clam", "stamp"):
        assert (run.export(form) / "b.h5").is_file()


def test_a_strict_run_stops(run, tmp_path):
    run.add("c", tmp_path / "gone.tiff")
    with pytest.raises(InputError, match=r"slide 'c' .*missing_file.*on_error is 'stop'"):
        run.tile(on_error="stop")
    assert not run.place("tiles").exists()
    run.slides.pop()
    assert run.tile(on_error="stop")["a"].status == "ok"
