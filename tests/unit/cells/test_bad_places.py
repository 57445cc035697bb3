"""Cells that cannot be used: each is refused by itself, whatever its box, its picture or its archive hold."""

import bz2
import io
import lzma
import resource
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from histoweave.cells import archive as archives
from histoweave.cells import pictures
from histoweave.cells.archive import read_member
from histoweave.cells.pictures import PictureReader, Place, cut_out
from histoweave.cells.shard_file import CellShardFile
from histoweave.storage.refusal import Refusal

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def png(array=RGB):
    data = io.BytesIO()
    Image.fromarray(array).save(data, "PNG")
    return data.getvalue()


def read_all(places):
    with PictureReader(edge_px=16, crop=1.0) as reader:
        return reader.read_all(places)


def zipped(path, method=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", method) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


BOXES = [
    (0, 0, 1e6, 1e6), (-1e9, -1e9, 1e9, 1e9), (0, 0, 1e300, 1e300), (-1e308, 0, 1e308, 5), (0, 0, 5, 3e5),
    (1e8, 1e8, 1e8 + 5, 1e8 + 5), (0, 0, float("inf"), 5), (float("nan"), 0, 5, 5),
]  # fmt: skip


@pytest.mark.parametrize("box", BOXES)
def test_a_huge_box_is_refused_without_room_for_it(box):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refusal) as caught:
        cut_out(RGB, box, crop=1.0)
    assert caught.value.status == "bad_box"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@given(st.tuples(*[st.floats(allow_nan=False)] * 4))
def test_any_box_is_cut_out_or_refused(box):
    try:
        cell = cut_out(RGB[:4, :4], box, crop=1.0)
    except Refusal as refusal:
        assert refusal.status == "bad_box"
    else:
        assert cell.dtype == np.uint8 and cell.size


@pytest.mark.parametrize("method", METHODS)
def test_members_of_every_kind_are_read(tmp_path, method):
    large = bytes(range(256)) * 20_000
    with zipfile.ZipFile(zipped(tmp_path / "a.zip", method, a=png(), b=large, c=b"")) as archive:
        assert [read_member(archive, name) for name in "abc"] == [png(), large, b""]


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_damaged_member_is_its_own_refusal(tmp_path_factory, method, data):
    folder = tmp_path_factory.mktemp("zip")
    path = zipped(folder / "a.zip", method, bad=png(), good=png())
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first = archive.getinfo("bad")
    for place in data.draw(st.lists(st.integers(0, 32 + first.compress_size), min_size=1, max_size=20)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    bad, good = read_all([Place(str(path), "bad"), Place(str(path), "good")])
    assert isinstance(good, np.ndarray)
    assert isinstance(bad, np.ndarray) or (bad.status == "unreadable_cell" and bad.reason.isprintable())


def test_what_an_archive_declares_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2**20)
    path = zipped(tmp_path / "bomb.zip", zipfile.ZIP_DEFLATED, bomb=bytes(2**24), good=png())
    bomb, good = read_all([Place(str(path), "bomb"), Place(str(path), "good")])
    assert bomb.status == "unreadable_cell" and "larger than 1 MiB" in bomb.reason and isinstance(good, np.ndarray)


@pytest.mark.parametrize("method", METHODS)
def test_an_archive_that_lies_about_a_size_is_unpacked_no_further(tmp_path, method):
    """A member that is declared as 1,000 bytes and holds up to 2 GB."""
    if method == zipfile.ZIP_STORED:
        packed = bytes(2**20)
    elif method == zipfile.ZIP_BZIP2:
        packed = bz2.compress(bytes(2**26)) * 32
    elif method == zipfile.ZIP_DEFLATED:
        packed = zlib.compress(bytes(2**29), level=1, wbits=-15)
    else:
        packed = lzma.compress(bytes(2**24)) * 8
    path = zipped(tmp_path / "a.zip", zipfile.ZIP_STORED, bomb=packed, good=png())
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("bomb")
        declared = info.file_size.to_bytes(4, "little")
    # The method and the size of the first member, in its local header and in the directory.
    directory = content.rindex(b"PK\1\2", 0, content.rindex(b"PK\1\2"))
    lying = bytearray(content)
    lying[8:10] = lying[directory + 10 : directory + 12] = method.to_bytes(2, "little")
    assert lying[22:26] == declared == lying[directory + 24 : directory + 28]
    lying[22:26] = lying[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(lying)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb, good = read_all([Place(str(path), "bomb"), Place(str(path), "good")])
    assert bomb.status == "unreadable_cell" and isinstance(good, np.ndarray)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000  # KiB


def test_odd_names_and_archives(tmp_path):
    path = zipped(tmp_path / "a.zip", good=png())
    renamed = path.read_bytes().replace(b"good", b"go\0d")
    (tmp_path / "nul.zip").write_bytes(renamed)
    (tmp_path / "empty.zip").write_bytes(b"")
    (tmp_path / "not.zip").write_bytes(png())
    found = read_all([
        Place(str(path), "a\0b"), Place(str(tmp_path / "nul.zip"), "go\0d"),
        Place(str(tmp_path / "empty.zip"), "a"), Place(str(tmp_path / "not.zip"), "a"), Place(str(tmp_path), "a"),
        Place(str(tmp_path)), Place("a\0.png"), Place(str(path), "x" * 60_000), Place(str(path), "good"),
    ])  # fmt: skip
    *refused, good = found
    assert isinstance(good, np.ndarray)
    assert {refusal.status for refusal in refused} == {"missing_file", "unreadable_cell"}
    assert all(refusal.reason.isprintable() and len(refusal.reason) <= 500 for refusal in refused)


def test_a_large_picture_with_transparency(tmp_path):
    pixels = np.full((3000, 4000, 4), 128, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png", compress_level=1)
    (cell,) = read_all([Place(str(tmp_path / "large.png"), box=(10, 10, 20, 20))])
    assert (cell == np.rint(128 * 128 / 255 + 255 * (1 - 128 / 255))).all()


@pytest.mark.parametrize("error", [MemoryError(), TypeError("odd"), RecursionError(), OverflowError("x" * 5000)])
def test_whatever_else_goes_wrong_with_a_cell_is_its_status(tmp_path, monkeypatch, error):
    path = zipped(tmp_path / "a.zip", bad=png(), good=png())
    cut = pictures.cut_out

    def failing(picture, box, *, crop):
        if box is not None:
            raise error
        return cut(picture, box, crop=crop)

    monkeypatch.setattr(pictures, "cut_out", failing)
    bad, good = read_all([Place(str(path), "bad", (0, 0, 5, 5)), Place(str(path), "good")])
    assert bad.status == "failed" and bad.reason.startswith(type(error).__name__) and isinstance(good, np.ndarray)


def test_cells_without_rights(not_mine):
    for name in ("mine_alone.png", "closed/a.png"):
        for member in ("", "a"):
            (found,) = read_all([Place(str(not_mine / name), member)])
            assert found.status == "unreadable_cell" and "Permission denied" in found.reason


def test_every_reason_can_be_written(tmp_path):
    shape = {"dim": 2, "n_features": 2, "precision": "float32", "attributes": {}}
    odd = ["a\0b", "\udcff", "\x1b[31m", "z" * 100_000, "<X object at 0xdeadbeef>"]
    with CellShardFile(tmp_path / "s.h5", **shape) as file:
        for number, text in enumerate(odd):
            file.refuse(f"c{number}", Refusal("unreadable_cell", text))
    with h5py.File(tmp_path / "s.h5") as file:
        written = file["refused_reason"].asstr()[:]
    assert list(written[:3]) == ["a?b", "?", "?[31m"] and written[4] == "<...>" and len(written[3]) == 500
