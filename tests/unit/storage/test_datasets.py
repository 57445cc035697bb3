"""HDF5 files of others: values that lie elsewhere, were never written, or cannot be meant."""

import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from interop_theirs import (
    CORNERS,
    SIZE,
    SPACING,
    refusal_of,
    tiles_of,
    trident_attributes,
    vectors,
    write,
)

from histoweave.features.file import FeatureFile
from histoweave.interop.features import given_features
from histoweave.settings.tiles import Tiles
from histoweave.slides.store import TileTable, tile_attributes
from histoweave.storage import apart
from histoweave.storage import datasets as storage
from histoweave.storage.refusal import Refusal

N, DIM = 4, 6


def features_of(path):
    """The rows of a file, as they are taken."""
    taken = given_features("S1", Path(path), settings=Tiles(tile_px=256, target_mpp=0.5))
    return np.concatenate(list(taken.blocks()))


@pytest.fixture
def made(tmp_path):
    """A file with coordinates to which a test adds features in its own way."""

    def make(add, name="f.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("coords", data=CORNERS)
            add(file)
        return tmp_path / name

    return make


def refused(path, status="bad_features"):
    found, reason = refusal_of(features_of, path)
    assert found == status, reason
    return reason


# ------------------------------------------------------------ how values are stored


@pytest.mark.parametrize(
    ("options", "write_rows", "words"),
    [
        ({}, 0, "was never written"),
        ({"chunks": (1, DIM)}, 0, "was never written"),
        ({"chunks": (1, DIM), "compression": "gzip"}, 0, "was never written"),
        ({"chunks": (1, DIM)}, 3, "3 of 4 pieces are there"),
        ({"chunks": (1, DIM), "fillvalue": 1.0}, 2, "2 of 4 pieces are there"),
        ({}, 3, "row 3: all values are 0"),
        ({"chunks": (N, DIM)}, 2, "row 2: all values are 0"),
    ],
)
def test_what_was_never_written_is_refused(made, options, write_rows, words):
    def add(file):
        rows = file.create_dataset("features", shape=(N, DIM), dtype=np.float32, **options)
        if write_rows:
            rows[:write_rows] = vectors()[:write_rows]

    assert words in refused(made(add))


def test_values_in_other_files_are_never_read(made, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(vectors().tobytes())
    other = write(tmp_path / "other.h5", features=(vectors(), {}))

    def external(file):
        file.create_dataset("features", shape=(N, DIM), dtype=np.float32, external=[(str(secret), 0, N * DIM * 4)])

    def virtual(file):
        layout = h5py.VirtualLayout((N, DIM), np.float32)
        layout[:] = h5py.VirtualSource(str(other), "features", (N, DIM))
        file.create_virtual_dataset("features", layout)

    def lost(file):
        layout = h5py.VirtualLayout((N, DIM), np.float32)
        layout[:] = h5py.VirtualSource("gone.h5", "features", (N, DIM))
        file.create_virtual_dataset("features", layout)

    def link(file):
        file["features"] = h5py.ExternalLink(str(other), "features")

    def soft(file):
        file["there"] = h5py.ExternalLink(str(other), "/")
        file["features"] = h5py.SoftLink("/there/features")

    def inner(file):
        file.create_group("features")["uni"] = h5py.ExternalLink(str(other), "features")

    for add, words in ((external, "in another file"), (virtual, "virtual"), (lost, "virtual"), (link, "link"),
                       (soft, "link"), (inner, "link")):  # fmt: skip
        assert words in refused(made(add))


def test_coordinates_in_other_files_are_never_read(tmp_path):
    other = write(tmp_path / "other.h5", coords=(CORNERS, trident_attributes()))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["coords"] = h5py.ExternalLink(str(other), "coords")
    for read in (tiles_of, features_of):
        with h5py.File(tmp_path / "f.h5", "a") as file:
            file.require_dataset("features", data=vectors(), shape=(N, DIM), dtype=np.float32)
        status, reason = refusal_of(read, tmp_path / "f.h5")
        assert status == "bad_coords" and "link" in reason


def test_pipes_and_devices_do_not_hang(made, tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    started = time.monotonic()
    for name in (tmp_path / "pipe.h5", "/dev/zero", "/dev/null"):
        assert refusal_of(features_of, name)[0] == "unreadable"

    def linked(file):
        file["features"] = h5py.ExternalLink(str(tmp_path / "pipe.h5"), "features")

    def stored(file):
        file.create_dataset("features", shape=(N, DIM), dtype=np.float32, external=[(str(tmp_path / "pipe.h5"), 0, 96)])

    assert "link" in refused(made(linked)) and "another file" in refused(made(stored))
    assert time.monotonic() - started < 30


def test_sizes_that_a_file_only_states(made, monkeypatch):
    def wide(file):
        file.create_dataset("features", shape=(N, 1 << 20), dtype=np.float32, chunks=(1, 64))

    def long(file):
        file.create_dataset("features", shape=(1 << 40, DIM), dtype=np.float32, chunks=(1 << 20, DIM))

    def pieces(file):
        rows = file.create_dataset(
            "features", shape=(1 << 24, DIM), dtype="f4", chunks=(1 << 24, DIM), compression="gzip"
        )
        del rows  # 400 MB in one piece

    assert "rows of 1048576 values" in refused(made(wide))
    assert "never written" in refused(made(long))
    monkeypatch.setattr(storage, "MAX_CHUNK_BYTES", 1 << 20)
    apart._end_all()  # the process beside this one keeps its own limit

    def one_piece(file):
        file.create_dataset("features", data=vectors(), chunks=(1 << 20, DIM), maxshape=(None, DIM))

    path = made(one_piece)
    with h5py.File(path) as file, pytest.raises(Refusal, match="in pieces of"):
        storage.dataset(file, "features")
    with h5py.File(made(pieces)) as file, pytest.raises(Refusal, match="in pieces of"):
        storage.dataset(file, "features")


def test_more_tiles_than_a_slide_has(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        rows = file.create_dataset(
            "coords", shape=(1 << 33, 2), dtype=np.int64, chunks=(1 << 20, 2), compression="gzip"
        )
        rows[:1] = 0
        rows.attrs.update(trident_attributes())
    status, reason = refusal_of(tiles_of, tmp_path / "f.h5")
    assert status == "bad_coords" and "pieces" in reason
    many = np.zeros((5_000_001, 2), np.int8)
    path = write(tmp_path / "g.h5", coords=(many, trident_attributes()))
    assert "more than a slide has tiles" in refusal_of(tiles_of, path)[1]


def test_filters_that_are_not_there(made):
    def add(file):
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((N, DIM))
        plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((N, DIM))
        rows = h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, plan)
        rows.write(h5py.h5s.ALL, h5py.h5s.ALL, vectors())

    assert "filter Zstandard, which is not installed here" in refused(made(add))


def test_types_that_are_no_numbers(made):
    texts = h5py.string_dtype()
    pair = np.dtype([("a", np.float32), ("b", np.float32)])
    for data, options in (
        (np.full((N, DIM), "x", object), {"dtype": texts}),
        (np.zeros((N, DIM), pair), {}),
        (np.zeros((N, DIM), "S4"), {}),
        (np.zeros((N, DIM), np.complex64), {}),
    ):
        reason = refused(made(lambda file, d=data, o=options: file.create_dataset("features", data=d, **o)))
        assert "plain numbers" in reason
    assert "no values at all" in refused(made(lambda file: file.create_dataset("features", dtype="f4", shape=None)))
    assert "shape (4,)" in refused(made(lambda file: file.create_dataset("features", data=np.ones(4, np.float32))))


def test_what_is_no_hdf5_file(tmp_path):
    for name, data, words in (
        ("pointer.h5", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS pointer"),
        ("empty.h5", b"", "is empty"),
        ("text.h5", b"no HDF5", "cannot be read as HDF5"),
    ):
        (tmp_path / name).write_bytes(data)
        status, reason = refusal_of(features_of, tmp_path / name)
        assert status == "unreadable" and words in reason and name in reason
    assert refusal_of(features_of, tmp_path)[0] == "unreadable"
    assert refusal_of(features_of, tmp_path / "gone.h5")[0] == "missing_file"


# ------------------------------------------------------------ values


@pytest.mark.parametrize("value", [3e38, -3e38, 1e13])
def test_features_that_nothing_can_be_computed_with(made, value):
    rows = vectors()
    rows[2, 1] = value
    assert "row 2: a value is beyond 1e+12" in refused(made(lambda file: file.create_dataset("features", data=rows)))


def test_words_of_a_file_fit_in_one_line_and_numbers_in_a_file(made):
    def add(file):
        rows = file.create_dataset("features", data=vectors())
        rows.attrs["encoder"] = b"evil\n\x1b[31m\xff" + b"x" * 100_000
        file.attrs["status"], file.attrs["reason"] = "no_tissue", "two\nlines\x1b" * 5_000

    status, reason = refusal_of(features_of, made(add))
    assert status == "no_tissue" and len(reason) <= 500 and reason.isprintable()

    def odd(file):
        file.create_dataset("features", data=vectors())
        file.attrs["status"] = "<script>"

    assert "no meaning here" in refused(made(odd))
    huge = trident_attributes(patch_size_level0=1e308, level0_width=1e300, patch_size=2**63)
    path = write(made(lambda file: None).with_name("g.h5"), coords=(CORNERS, huge))
    assert refusal_of(tiles_of, path)[0] == "bad_coords"


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_own_files_whose_values_were_changed(tmp_path, precision):
    place = {"slide": "S1", "tile_px": 256, "target_mpp": 0.5, "overlap_px": 0, "spacing": SPACING, "size_lv0": SIZE}
    tiles = TileTable("S1", "slide", tile_attributes(**place, edge_lv0=512), coords=CORNERS.astype(np.int64))
    rows = vectors(dtype=np.dtype(precision))
    path = tmp_path / "f.h5"
    with FeatureFile(path, tiles=tiles, dim=DIM, precision=precision, attributes={"encoder": "x"}) as file:
        file.put(np.arange(N), rows)
        file.finish()
    assert (features_of(path) == rows).all()
    for name in ("features", "coords"):
        with h5py.File(path, "a") as file:
            before = file[name][1, 1]
            file[name][1, 1] = before + 1
        assert "not those that the file was made with" in refused(path)
        with h5py.File(path, "a") as file:
            file[name][1, 1] = before
    assert (features_of(path) == rows).all()
