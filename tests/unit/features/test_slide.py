import hashlib
from dataclasses import replace

import cv2
import h5py
import numpy as np
import openslide
import pytest
import timm
import torch
from slide_scenes import SMALL_TILES, destroy_tile, tissue_scene, write_slide

from histoweave.encoders.inference import TileEncoder
from histoweave.encoders.loading import LoadedEncoder
from histoweave.errors import InputError
from histoweave.features.slide import extract
from histoweave.slides.reader import read_region
from histoweave.slides.store import read_tiles
from histoweave.tiles.slide import tile_slide

MEAN, STD = (0.7, 0.55, 0.7), (0.2, 0.25, 0.2)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    module = timm.create_model("test_vit", num_classes=0, img_size=48).eval().requires_grad_(False)
    return LoadedEncoder(
        name="small",
        module=module,
        dim=module.num_features,
        input_px=48,
        mean=MEAN,
        std=STD,
        interpolation="bicubic",
        weights_sha256="0" * 64,
    )


def prepare(folder, path, **tiling):
    defaults = {"mpp": None, "settings": SMALL_TILES, "on_error": "continue"}
    outputs = {"out_h5": folder / "t.h5", "out_geojson": folder / "t.geojson", "out_png": folder / "t.png"}
    return tile_slide(slide="S1", path=str(path), **(defaults | tiling), **outputs)


def run(folder, path, encoder, *, name="f.h5", **changes):
    settings = {
        "precision": "float32", "max_failed_share": 0.1, "on_error": "continue", "tile_batch": 7, "read_workers": 2,
    }  # fmt: skip
    out = folder / name
    status = extract(
        slide="S1",
        path=str(path),
        tiles_h5=folder / "t.h5",
        out_h5=out,
        encoder=TileEncoder(encoder, device=torch.device("cpu"), arithmetic="float32"),
        **(settings | changes),
    )
    if not out.exists():
        return status, None
    with h5py.File(out) as file:
        content = {key: value[()] for key, value in file.items()}
        content |= {f"{key} attributes": dict(value.attrs) for key, value in file.items()}
        return status, content | {"attributes": dict(file.attrs), "chunks": file["features"].chunks}


def naive_features(path, table, encoder):
    """Tile by tile with Pillow and the network alone."""
    rows = []
    with openslide.OpenSlide(path) as slide:
        edge = table.attributes["patch_size_level0"]
        level = table.attributes["patch_level"]
        read_px = round(edge / slide.level_downsamples[level])
        for x, y in table.coords.tolist():
            tile = np.array(slide.read_region((x, y), level, (read_px, read_px)).convert("RGB"))
            tile = cv2.resize(tile, (48, 48), interpolation=cv2.INTER_AREA)
            image = (torch.from_numpy(tile).permute(2, 0, 1) / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(
                STD
            )[:, None, None]
            with torch.inference_mode():
                rows.append(encoder.module(image[None])[0].numpy())
    return np.stack(rows)


@pytest.fixture
def slide(tmp_path):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.25), mpp=0.25, levels=2)
    assert prepare(tmp_path, path) == "ok"
    return path


def test_features_equal_a_naive_loop_and_the_file_is_complete(tmp_path, slide, encoder):
    status, content = run(tmp_path, slide, encoder)
    table = read_tiles(tmp_path / "t.h5")
    assert status == "ok"
    assert content["features"].dtype == np.float32
    np.testing.assert_allclose(content["features"], naive_features(slide, table, encoder), rtol=1e-4, atol=1e-5)
    assert np.ptp(content["features"], axis=0).max() > 0.01  # tiles differ, so a wrong order would show
    assert (content["coords"] == table.coords).all() and content["coords"].dtype == np.int64
    assert content["failed_coords"].shape == (0, 2)
    assert content["coords attributes"] == pytest.approx(table.attributes, nan_ok=True)
    digest = hashlib.sha256(content["features"].tobytes() + content["coords"].tobytes()).hexdigest()
    assert content["attributes"] == {"slide": "S1", "status": "ok", "reason": "", "features_sha256": digest}
    assert content["chunks"] == (2**20 // (4 * encoder.dim), encoder.dim)
    attributes = content["features attributes"]
    assert tuple(attributes.pop("mean")) == MEAN and tuple(attributes.pop("std")) == STD
    assert attributes == {
        "name": "S1", "encoder": "small", "weights_sha256": "0" * 64, "input_px": 48, "precision": "float32",
        "arithmetic": "float32",
    }  # fmt: skip


@pytest.mark.parametrize(("tile_batch", "read_workers"), [(1, 1), (64, 4), (3, 3)])
def test_mechanics_do_not_change_the_result(tmp_path, slide, encoder, tile_batch, read_workers):
    _, one = run(tmp_path, slide, encoder)
    _, other = run(tmp_path, slide, encoder, tile_batch=tile_batch, read_workers=read_workers)
    np.testing.assert_allclose(one["features"], other["features"], rtol=1e-4, atol=1e-5)
    assert (one["coords"] == other["coords"]).all()


def test_two_runs_give_equal_bytes(tmp_path, slide, encoder):
    run(tmp_path, slide, encoder, name="1.h5")
    run(tmp_path, slide, encoder, name="2.h5")
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_half_precision(tmp_path, slide, encoder):
    _, full = run(tmp_path, slide, encoder)
    _, half = run(tmp_path, slide, encoder, precision="float16")
    assert half["features"].dtype == np.float16
    assert half["features attributes"]["precision"] == "float16"
    assert (half["features"] == full["features"].astype(np.float16)).all()


def test_a_corrupt_tile_is_left_out_and_listed(tmp_path, encoder, monkeypatch):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.5), mpp=0.5, levels=2)
    settings = SMALL_TILES.model_copy(update={"segmentation_mpp": 4.0})
    # The overview comes from level 1, the tiles from level 0.
    monkeypatch.setattr("histoweave.tiles.slide.THUMBNAIL_PX", 256)
    assert prepare(tmp_path, path, settings=settings) == "ok"
    table = read_tiles(tmp_path / "t.h5")
    _, intact = run(tmp_path, path, encoder)
    destroy_tile(path, column=4, row=4)
    status, content = run(tmp_path, path, encoder, max_failed_share=0.2)
    touched = (np.abs(table.coords - 256) < 64).all(axis=1)
    assert 1 <= touched.sum() <= 4
    assert status == "ok"
    assert (content["failed_coords"] == table.coords[touched]).all()
    assert (content["coords"] == table.coords[~touched]).all()
    np.testing.assert_allclose(content["features"], intact["features"][~touched], rtol=1e-5, atol=1e-6)

    status, content = run(tmp_path, path, encoder, max_failed_share=0.001)
    assert status == "unreadable_tiles"
    assert content["features"].shape == (0, encoder.dim) and content["coords"].shape == (0, 2)
    assert (content["failed_coords"] == table.coords[touched]).all()
    assert f"{touched.sum()} of {len(table.coords)}" in content["attributes"]["reason"]

    with pytest.raises(InputError, match=r"slide 'S1' .*unreadable_tiles"):
        run(tmp_path, path, encoder, name="stopped.h5", max_failed_share=0.001, on_error="stop")
    assert not (tmp_path / "stopped.h5").exists()


def test_a_passing_read_error_costs_no_tile(tmp_path, slide, encoder, monkeypatch):
    _, undisturbed = run(tmp_path, slide, encoder)
    seen = []

    def fails_at_first(handle, **place):
        if not seen:
            seen.append(place)
            raise openslide.OpenSlideError("input/output error")
        return read_region(handle, **place)

    monkeypatch.setattr("histoweave.slides.tile_reader.read_region", fails_at_first)
    status, content = run(tmp_path, slide, encoder, max_failed_share=0.0)
    assert status == "ok" and seen[0]["width_px"] > 64
    assert (content["features"] == undisturbed["features"]).all()


def test_a_tile_without_pixels_is_not_a_white_tile(tmp_path, slide, encoder, monkeypatch):
    table = read_tiles(tmp_path / "t.h5")
    hole = table.coords[3]

    def with_a_hole(handle, **place):
        rgba = read_region(handle, **place).copy()
        downsample = handle.level_downsamples[place["level"]]
        x, y = np.rint((hole - (place["x_lv0"], place["y_lv0"])) / downsample).astype(int)
        if x >= 0 and y >= 0:
            rgba[y : y + 64, x : x + 64] = 0
        return rgba

    monkeypatch.setattr("histoweave.slides.tile_reader.read_region", with_a_hole)
    status, content = run(tmp_path, slide, encoder)
    assert status == "ok"
    assert content["failed_coords"].tolist() == [hole.tolist()]
    assert len(content["features"]) == len(table.coords) - 1


def test_a_slide_truncated_after_tiling(tmp_path, slide, encoder):
    size = slide.stat().st_size
    slide.write_bytes(slide.read_bytes()[: size // 3])
    status, content = run(tmp_path, slide, encoder)
    assert status in ("unreadable", "unreadable_tiles")
    assert len(content["features"]) == 0
    slide.unlink()
    assert run(tmp_path, slide, encoder)[0] == "missing_file"


def test_a_refused_slide_is_carried_through(tmp_path, encoder):
    path = write_slide(tmp_path / "a.tiff", tissue_scene(0.5), mpp=None)
    assert prepare(tmp_path, path) == "no_mpp"
    status, content = run(tmp_path, path, encoder)
    assert status == "no_mpp"
    assert content["features"].shape == (0, encoder.dim)
    assert content["attributes"]["reason"] == read_tiles(tmp_path / "t.h5").reason


def test_values_that_are_not_finite_are_refused(tmp_path, slide, encoder):
    class Overflow(torch.nn.Module):
        def forward(self, images):
            return images.mean(dim=(2, 3)) * 1e6

    huge = replace(encoder, module=Overflow(), dim=3)
    assert run(tmp_path, slide, huge)[0] == "ok"
    with pytest.raises(InputError, match="not finite in float16"):
        run(tmp_path, slide, huge, precision="float16")


@pytest.mark.parametrize("form", ["s [x={x},y={y},w=64,h=64]", "tile_({x},{y})", "tile_{x}_{y}"])
def test_a_folder_of_tiles(tmp_path, encoder, form):
    folder = tmp_path / "tiles"
    folder.mkdir()
    rng = np.random.default_rng(0)
    corners = [(640, 1000), (0, 64), (64, 64), (128, 0)]
    images = {}
    for x, y in corners:
        images[x, y] = rng.integers(0, 255, (64, 64, 3), np.uint8)
        cv2.imwrite(str(folder / (form.format(x=x, y=y) + ".png")), images[x, y][..., ::-1])
    assert prepare(tmp_path, folder) == "ok"
    table = read_tiles(tmp_path / "t.h5")
    assert table.source == "tile_folder"
    assert table.coords.tolist() == [[128, 0], [0, 64], [64, 64], [640, 1000]]
    assert [form.format(x=x, y=y) + ".png" for x, y in table.coords] == list(table.tile_file)
    assert np.isnan(table.attributes["level0_mpp"]) and table.attributes["mpp_source"] == "none"

    (folder / table.tile_file[1]).write_bytes(b"\x89PNG\r\n\x1a\n broken")
    status, content = run(tmp_path, folder, encoder, max_failed_share=0.25)
    assert status == "ok"
    assert content["failed_coords"].tolist() == [[0, 64]]
    assert (
        "µm per px are not known" in content["attributes"]["reason"]
    )  # a usable slide, of which something is to be said
    expected = []
    for corner in content["coords"]:
        tile = cv2.resize(images[tuple(corner)], (48, 48), interpolation=cv2.INTER_AREA)
        image = (torch.from_numpy(tile) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        with torch.inference_mode():
            expected.append(encoder.module(image.permute(2, 0, 1)[None])[0].numpy())
    np.testing.assert_allclose(content["features"], np.stack(expected), rtol=1e-4, atol=1e-5)


def test_a_folder_of_tiles_without_places_is_a_running_grid(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    for name in "edcba":
        cv2.imwrite(str(folder / f"{name}.jpg"), np.full((32, 32, 3), 120, np.uint8))
    assert prepare(tmp_path, folder, mpp=0.5) == "ok"
    table = read_tiles(tmp_path / "t.h5")
    assert table.tile_file == ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    assert table.coords.tolist() == [[0, 0], [32, 0], [64, 0], [0, 32], [32, 32]]
    assert (table.attributes["level0_mpp"], table.attributes["mpp_source"]) == (0.5, "override")


def test_folders_without_usable_tiles(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    assert prepare(tmp_path, folder) == "no_tissue"
    (folder / "a.png").write_bytes(b"broken")
    assert prepare(tmp_path, folder) == "unreadable"
