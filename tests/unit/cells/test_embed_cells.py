"""From pictures and from other people's embeddings to the file of a shard, and from shards to the table of images."""

from __future__ import annotations

import zipfile

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
from token_networks import at_block, network, tiny_vit

from histoweave.cells import embed_cells as shard
from histoweave.cells.images import (
    check_all_usable,
    images_of_cells,
    images_of_embeddings,
    images_of_slides,
    write_images,
)
from histoweave.cells.network import TokenNetwork
from histoweave.cells.table import BOX
from histoweave.errors import InputError
from histoweave.sae.tokens import Tokens, cell_blocks, read_features, tokens_of
from histoweave.settings.cells import Cells
from histoweave.settings.encoder import Encoder
from histoweave.storage.files import read_table


def cells_in(folder, n=7) -> pd.DataFrame:
    """Pictures in an archive and beside it, one of them broken and one with a box without area."""
    rng = np.random.default_rng(5)
    rows = []
    with zipfile.ZipFile(folder / "cells.zip", "w") as archive:
        for number in range(n):
            data = cv2.imencode(".png", rng.integers(0, 256, (60, 70, 3), np.uint8))[1].tobytes()
            archive.writestr(f"{number}.png", data if number != 3 else data[:200])
            box = (5, 5, 5, 5) if number == 5 else (np.nan,) * 4
            rows.append(
                (f"c{number}", f"p{number % 2}", str(folder / "cells.zip"), f"{number}.png", *box, None, "round")
            )
    rows.append(("gone", "p0", str(folder / "gone.png"), "", *(np.nan,) * 4, "blast", None))
    return pd.DataFrame(rows, columns=["cell", "patient", "path", "member", *BOX, "label", "shape"])


def embed(cells, out, encoder=None, **options):
    settings = {"precision": "float16", "crop": 0.8, "on_error": "continue", "batch": 2, "read_workers": 2} | options
    return shard.embed_with(network(encoder or tiny_vit()), cells, out_h5=out, **settings)


def test_the_shard_file(tmp_path):
    cells = cells_in(tmp_path)
    counts = embed(cells.iloc[::-1], tmp_path / "s.h5")
    assert counts == {"ok": 5, "missing_file": 1, "unreadable_cell": 1, "bad_box": 1}
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["cell"].asstr()[:].tolist() == ["c0", "c1", "c2", "c4", "c6"]
        assert file["tokens"].shape == (5 * 17, 24) and file["tokens"].dtype == np.float16
        assert file["features"].shape == (5, 24) and file["features"].dtype == np.float32
        np.testing.assert_array_equal(file["offsets"][:], np.arange(6) * 17)
        refused = dict(zip(file["refused_cell"].asstr()[:], file["refused_status"].asstr()[:], strict=True))
        assert refused == {"c3": "unreadable_cell", "c5": "bad_box", "gone": "missing_file"}
        attributes = dict(file.attrs)
    assert attributes.pop("grid").tolist() == [4, 4]
    assert attributes == {
        "encoder": "vit_tiny_patch16_224", "weights_sha256": "00", "block": -2, "final_norm": False, "crop": 0.8,
        "prefix_tokens": 1, "precision": "float16",
    }  # fmt: skip
    tokens = Tokens(cell_blocks(str(tmp_path / "s.h5")))
    assert tokens.images == ["c0", "c1", "c2", "c4", "c6"] and tokens.dim == 24
    with zipfile.ZipFile(tmp_path / "cells.zip") as archive:
        picture = cv2.imdecode(np.frombuffer(archive.read("4.png"), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    middle = picture[6:54, 7:63]  # 0.8 of each edge
    image = cv2.resize(middle, (56, 56), interpolation=cv2.INTER_CUBIC)
    expected = at_block(tiny_vit().module, -2, image[None])[0]
    ((_, values),) = tokens.select(["c4"]).batches(100)
    np.testing.assert_allclose(values, expected, atol=4e-3)


def test_equal_inputs_give_equal_bytes(tmp_path):
    cells = cells_in(tmp_path)
    for name, workers in (("one", 1), ("two", 3)):
        embed(cells, tmp_path / f"{name}.h5", read_workers=workers)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_float32_and_no_cell_at_all(tmp_path):
    cells = cells_in(tmp_path)
    embed(cells.query("cell == 'c0'"), tmp_path / "one.h5", precision="float32")
    with h5py.File(tmp_path / "one.h5") as file:
        assert file["tokens"].dtype == np.float32
    assert embed(cells.query("cell == 'gone'"), tmp_path / "none.h5") == {"ok": 0, "missing_file": 1}
    assert cell_blocks(str(tmp_path / "none.h5")) == []


def test_on_error_stop_writes_nothing(tmp_path):
    with pytest.raises(InputError, match=r"cell 'gone': missing_file: .*gone\.png does not exist .on_error is 'stop'"):
        embed(cells_in(tmp_path).query("cell != 'c3' and cell != 'c5'"), tmp_path / "s.h5", on_error="stop")
    assert not (tmp_path / "s.h5").exists()


def test_tokens_that_are_not_finite_refuse_their_cell_alone(tmp_path):
    encoder = tiny_vit()
    known = network(encoder)
    cells = cells_in(tmp_path).query("cell in ('c0', 'c1', 'c2')")

    def overflowing(images):
        tokens, features = TokenNetwork.__call__(known, images)
        if np.isclose(tokens.shape[0], 1):  # the last batch holds c2 alone
            tokens[0, 3, 3] = 1e6
        return tokens, features

    stub = type(
        "Stub", (), {name: getattr(known, name) for name in vars(known)} | {"__call__": staticmethod(overflowing)}
    )()
    counts = shard.embed_with(
        stub,
        cells,
        out_h5=tmp_path / "s.h5",
        precision="float16",
        crop=1.0,
        on_error="continue",
        batch=2,
        read_workers=1,
    )
    assert counts == {"ok": 2, "not_finite": 1}
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["refused_cell"].asstr()[:].tolist() == ["c2"] and len(file["tokens"]) == 34
        assert np.isfinite(file["tokens"][:]).all()


def test_embed_shard_loads_what_the_settings_name(tmp_path):
    settings = Cells(encoder=Encoder(name="efficientnet_lite0", input_px=64), block=-1, precision="float32")
    counts = shard.embed_shard(
        cells_in(tmp_path, n=2), out_h5=tmp_path / "s.h5", settings=settings, crop=1.0, on_error="continue",
        device="cpu", batch=8, read_workers=1,
    )  # fmt: skip
    assert counts == {"ok": 2, "missing_file": 1}
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["tokens"].shape == (2 * 4, 320) and file["features"].shape == (2, 1280)


def embeddings(folder, **patients) -> dict[str, str]:
    files = {}
    for patient, values in patients.items():
        files[patient] = str(folder / f"{patient}.h5")
        with h5py.File(files[patient], "w") as file:
            if values is not None:
                file["features"] = values
    return files


def test_embeddings_made_elsewhere(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 8)).astype(np.float32), rng.normal(size=(3, 8))
    a[2, 1] = np.nan
    files = embeddings(tmp_path, A=a, B=b, C=np.zeros((0, 8), np.float32), D=None, E=np.zeros(8))
    files["F"] = str(tmp_path / "F.h5")
    (tmp_path / "G.h5").write_bytes(b"no hdf5")
    files["G"] = str(tmp_path / "G.h5")
    counts = shard.adopt_embeddings(files, out_h5=tmp_path / "s.h5", on_error="continue")
    assert counts == {
        "ok": 7, "not_finite": 1, "empty_patient": 1, "bad_features": 2, "missing_file": 1, "unreadable": 1
    }  # fmt: skip
    tokens = Tokens(cell_blocks(str(tmp_path / "s.h5")))
    assert tokens.images == ["A-0", "A-1", "A-3", "A-4", "B-0", "B-1", "B-2"]
    ((_, values),) = tokens.batches(100)
    np.testing.assert_array_equal(values, np.concatenate([a[[0, 1, 3, 4]], b.astype(np.float32)]))
    with h5py.File(tmp_path / "s.h5") as file:
        np.testing.assert_array_equal(file["features"][:], values)
        assert file.attrs["grid"].tolist() == [0, 0] and file.attrs["encoder"] == "unknown"
    patients = pd.DataFrame({"patient": list("ABCDEFG"), "label": [*list("xyxyxy"), None], "site": None}, dtype=object)
    images = images_of_embeddings(patients=patients, shards=[tmp_path / "s.h5"]).set_index("image")
    assert images.loc["A-2", ["patient", "status"]].to_list() == ["A", "not_finite"]
    assert images.loc["C-none", ["patient", "status", "patient_label"]].to_list() == ["C", "empty_patient", "x"]
    assert "no dataset 'features'" in images.loc["D-none", "reason"]
    assert "not one row" in images.loc["E-none", "reason"]


def test_rows_that_no_network_gives_are_refused(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    values[1], values[2, 3], values[4, 0], values[5, 5] = 0, 1e38, -2e12, np.inf
    counts = shard.adopt_embeddings(embeddings(tmp_path, A=values), out_h5=tmp_path / "s.h5", on_error="continue")
    assert counts == {"ok": 2, "bad_features": 3, "not_finite": 1}
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["cell"].asstr()[:].tolist() == ["A-0", "A-3"]
        np.testing.assert_array_equal(file["tokens"][:], values[[0, 3]])
        assert file["refused_cell"].asstr()[:].tolist() == ["A-1", "A-2", "A-4", "A-5"]
    with pytest.raises(InputError, match=r"cell 'A-1' .*bad_features: all its values are 0"):
        shard.adopt_embeddings(embeddings(tmp_path, A=values), out_h5=tmp_path / "s.h5", on_error="stop")
    zeros = embeddings(tmp_path, A=np.zeros((4, 8)))
    assert shard.adopt_embeddings(zeros, out_h5=tmp_path / "s.h5", on_error="continue") == {"ok": 0, "bad_features": 4}


def test_a_shard_of_refused_files_alone_does_not_count_against_the_others(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    shard.adopt_embeddings(embeddings(tmp_path, A=values), out_h5=tmp_path / "a.h5", on_error="continue")
    (tmp_path / "B.h5").write_bytes(b"torn")
    counts = shard.adopt_embeddings({"B": str(tmp_path / "B.h5")}, out_h5=tmp_path / "b.h5", on_error="continue")
    assert counts == {"ok": 0, "unreadable": 1}
    for order in ("ab", "ba"):
        shards = [str(tmp_path / f"{name}.h5") for name in order]
        tokens = tokens_of(shards)
        assert tokens.dim == 8 and tokens.n_tokens == 3
        np.testing.assert_array_equal(read_features(shards, tokens.images), values)
    assert read_features([str(tmp_path / "b.h5")], []).shape == (0, 0)


def test_half_precision_stays_and_many_rows_come_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(shard, "CHUNK_BYTES", 4 * 4 * 10)
    values = np.random.default_rng(0).normal(size=(25, 4)).astype(np.float16)
    shard.adopt_embeddings(embeddings(tmp_path, A=values), out_h5=tmp_path / "s.h5", on_error="stop")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["tokens"].dtype == np.float16
        np.testing.assert_array_equal(file["tokens"][:], values)
        assert file["cell"].asstr()[:].tolist() == [f"A-{number}" for number in range(25)]


def test_embeddings_of_different_encoders_are_refused(tmp_path):
    files = embeddings(tmp_path, A=np.zeros((2, 8)), B=np.zeros((2, 4)))
    with pytest.raises(InputError, match=r"B\.h5: its vectors have 4 values .*A\.h5 8 of"):
        shard.adopt_embeddings(files, out_h5=tmp_path / "s.h5", on_error="continue")
    files = embeddings(tmp_path, A=np.zeros((0, 8)))
    with pytest.raises(InputError, match=r"patient 'A' .*: empty_patient: A\.h5 holds no cells"):
        shard.adopt_embeddings(files, out_h5=tmp_path / "s.h5", on_error="stop")


def test_images_table_of_cells(tmp_path):
    cells = cells_in(tmp_path)
    embed(cells.iloc[:4], tmp_path / "1.h5")
    embed(cells.iloc[4:], tmp_path / "2.h5")
    patients = pd.DataFrame({"patient": ["p0", "p1"], "label": ["AML", None], "site": ["s", None]}, dtype=object)
    shards = [tmp_path / "1.h5", tmp_path / "2.h5"]
    images = images_of_cells(cells, patients=patients, shards=shards, attributes=["shape"])
    assert list(images) == [
        "image",
        "patient",
        "label",
        "patient_label",
        "site",
        "status",
        "reason",
        "content",
        "shape",
    ]
    assert images["image"].to_list() == cells["cell"].to_list()
    assert images["patient_label"].to_list()[:2] == ["AML", None] and images["site"].to_list()[:2] == ["s", None]
    assert images["status"].to_list() == [
        "ok", "ok", "ok", "unreadable_cell", "ok", "bad_box", "ok", "missing_file"
    ]  # fmt: skip
    assert images["label"].to_list() == [None] * 7 + ["blast"] and images["shape"].iloc[-1] is None
    write_images(tmp_path / "images.parquet", images.iloc[:7])
    pd.testing.assert_frame_equal(read_table(tmp_path / "images.parquet"), images.iloc[:7])
    alone = images_of_cells(cells, patients=None, shards=shards)
    assert alone["patient_label"].isna().all()
    with pytest.raises(InputError, match="4 cells of the table are in no shard file, first 'c4'"):
        images_of_cells(cells, patients=None, shards=shards[:1])


def test_a_strict_run_ends_at_shards_that_hold_refused_cells(tmp_path):
    cells = cells_in(tmp_path)
    embed(cells.query("cell in ('c0', 'c1')"), tmp_path / "1.h5")
    assert check_all_usable([tmp_path / "1.h5"]) == 2
    embed(cells.query("cell in ('c2', 'c5', 'gone')"), tmp_path / "2.h5")
    with pytest.raises(InputError, match=r"^2 of 5 cells cannot be used, first 'c5': bad_box: .*on_error is 'stop'"):
        check_all_usable([tmp_path / "1.h5", tmp_path / "2.h5"])


def test_images_table_of_slides():
    slides = pd.DataFrame(
        {"slide": ["s1", "s2", "s3"], "patient": ["p1", "p1", "p2"], "status": ["ok", "ok", "no_mpp"],
         "reason": ["", "", "why"], "n_tiles": [4, 0, 0], "features_sha256": ["a", "b", "c"]}
    )  # fmt: skip
    patients = pd.DataFrame({"patient": ["p1", "p2"], "label": ["A", None], "site": ["x", "y"]}, dtype=object)
    images = images_of_slides(slides, patients)
    assert images.to_dict("list") == {
        "image": ["s1", "s2", "s3"], "patient": ["p1", "p1", "p2"], "label": [None] * 3,
        "patient_label": ["A", "A", None], "site": ["x", "x", "y"], "status": ["ok", "no_tissue", "no_mpp"],
        "reason": ["", "the slide has no tiles", "why"], "content": ["a", "b", "c"],
    }  # fmt: skip
