import hashlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.features.file import FeatureFile
from histoweave.slides.blocks import TILES_PER_SIDE, blocks_of, is_worth_a_region
from histoweave.slides.store import TileTable

GRIDS = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0.05, 1))


def grid(columns, rows, seed, share, *, edge=100):
    coords = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * edge
    return coords[np.random.default_rng(seed).random(len(coords)) < share].astype(np.int64)


@given(GRIDS)
def test_blocks_hold_every_tile_once_and_rows_of_blocks_come_in_order(drawn):
    coords = grid(*drawn)
    blocks = blocks_of(coords, edge_lv0=100)
    assert sorted(np.concatenate(blocks).tolist() if blocks else []) == list(range(len(coords)))
    last = -1
    for rows in blocks:
        assert (np.diff(rows) > 0).all()
        extent = np.ptp(coords[rows], axis=0)
        assert (extent < TILES_PER_SIDE * 100).all()
        band = coords[rows[0], 1] - coords[0, 1]
        assert band // (TILES_PER_SIDE * 100) >= last
        last = band // (TILES_PER_SIDE * 100)


def test_a_sparse_block_is_read_tile_by_tile():
    assert is_worth_a_region(np.array([[0, 0], [100, 0], [0, 100], [100, 100]]), edge_lv0=100)
    assert not is_worth_a_region(np.array([[0, 0], [700, 700]]), edge_lv0=100)
    assert not is_worth_a_region(np.array([[0, 0]]), edge_lv0=100)


def table(n):
    coords = np.stack([np.arange(n) * 10, np.arange(n)], axis=1).astype(np.int64)
    return TileTable("S", "slide", {"name": "S"}, coords=coords, tissue_fraction=np.ones(n, np.float32))


def write(path, tiles, order, failed, features, *, precision="float32"):
    with FeatureFile(
        path, tiles=tiles, dim=features.shape[1], precision=precision, attributes={"encoder": "e"}
    ) as file:
        for rows in order:
            rows = np.array(rows)
            out = np.isin(rows, failed)
            file.leave_out(rows[out])
            file.put(rows[~out], features[rows[~out]])
        file.finish()


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 60), seed=st.integers(0, 999), share=st.floats(0, 0.5))
def test_rows_land_in_order_however_they_come(tmp_path_factory, n, seed, share):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 5)).astype(np.float32)
    failed = np.flatnonzero(rng.random(n) < share)
    order = np.array_split(rng.permutation(n), 4)
    path = tmp_path_factory.mktemp("f") / "a.h5"
    write(path, table(n), order, failed, features)
    kept = np.setdiff1d(np.arange(n), failed)
    with h5py.File(path) as file:
        assert (file["features"][()] == features[kept]).all()
        assert (file["coords"][()] == table(n).coords[kept]).all()
        assert (file["failed_coords"][()] == table(n).coords[failed]).all()
        digest = hashlib.sha256(features[kept].tobytes() + table(n).coords[kept].tobytes()).hexdigest()
        assert file.attrs["features_sha256"] == digest


def test_chunks_are_written_as_they_fill(tmp_path, monkeypatch):
    monkeypatch.setattr("histoweave.features.file.CHUNK_BYTES", 4 * 5 * 8)
    features = np.arange(500, dtype=np.float32).reshape(100, 5)
    with FeatureFile(tmp_path / "a.h5", tiles=table(100), dim=5, precision="float32", attributes={}) as file:
        file.put(np.arange(50, 100), features[50:])
        assert len(file._rows) == 0
        file.put(np.arange(50), features[:50])
        assert len(file._rows) == 96 and len(file._early) == 0
        file.finish()
    with h5py.File(tmp_path / "a.h5") as file:
        assert (file["features"][()] == features).all() and file["features"].chunks == (8, 5)


def test_a_tile_that_was_forgotten_is_noticed(tmp_path):
    with FeatureFile(tmp_path / "a.h5", tiles=table(3), dim=2, precision="float32", attributes={}) as file:
        file.put(np.array([0, 2]), np.zeros((2, 2), np.float32))
        with pytest.raises(AssertionError, match="tile 1 of 3"):
            file.finish()


def test_a_refused_slide_has_no_rows_but_lists_its_failures(tmp_path):
    with FeatureFile(tmp_path / "a.h5", tiles=table(3), dim=2, precision="float16", attributes={}) as file:
        file.put(np.array([0]), np.zeros((1, 2), np.float32))
        file.leave_out(np.array([1, 2]))
        file.refuse("unreadable_tiles", "2 of 3")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["features"].shape == (0, 2) and file["coords"].shape == (0, 2)
        assert file["failed_coords"].shape == (2, 2) and file.attrs["status"] == "unreadable_tiles"
