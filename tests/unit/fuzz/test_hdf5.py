"""Damaged HDF5 files of others: read or refused, also where the HDF5 library crashes or comes to no end."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from fuzzing import answer, fuzz
from hypothesis import given
from hypothesis import strategies as st
from interop_theirs import CORNERS, refusal_of, stamp_attributes, tiles_of, trident_attributes, vectors, write

from histoweave.interop.features import given_features
from histoweave.settings.tiles import Tiles
from histoweave.storage import apart
from histoweave.storage.refusal import Refusal

DIM = 6


def features_of(path):
    """The rows of a file, as they are taken."""
    taken = given_features("S1", Path(path), settings=Tiles(tile_px=256, target_mpp=0.5))
    return np.concatenate(list(taken.blocks()))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Files of several forms, as bytes; values that cannot be mistaken for others."""
    folder = tmp_path_factory.mktemp("whole")
    um = (CORNERS * 0.25).astype(np.float32)
    own = {"chunks": (2, DIM), "compression": "gzip"}
    files = [
        write(folder / "trident.h5", features=(vectors(), {"encoder": "x"}), coords=(CORNERS, trident_attributes())),
        write(folder / "stamp.h5", file=stamp_attributes(), feats=(vectors(dtype=np.float16), {}), coords=(um, {})),
    ]
    with h5py.File(folder / "gzip.h5", "w", libver="latest") as file:
        file.create_dataset("features", data=vectors(), **own)
        file.create_dataset("coords", data=CORNERS).attrs.update(trident_attributes())
    return [path.read_bytes() for path in [*files, folder / "gzip.h5"]]


@fuzz(250)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(whole, tmp_path, monkeypatch, data):
    """Some crash the HDF5 library, and some it reads for ever: the process beside this one bears that."""
    monkeypatch.setattr(apart, "PATIENCE_S", 5.0)
    content = bytearray(data.draw(st.sampled_from(whole)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.sampled_from([0, 255]) | st.integers(0, 255))
    if data.draw(st.integers(0, 9)) == 0:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path = tmp_path / "f.h5"
    path.write_bytes(content)
    answer(lambda: given_features("S1", path, settings=Tiles(tile_px=256, target_mpp=0.5)), Refusal)
    answer(lambda: tiles_of(path), Refusal)


def test_a_crash_and_a_file_without_end_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "f.h5", features=(vectors(), {}), coords=(CORNERS, {}))
    for main, words in (
        ("import os; print('ready', flush=True); input(); os.abort()", "crashes the HDF5 library"),
        ("import time; print('ready', flush=True); time.sleep(600)", "has no end after"),
    ):
        apart._end_all()
        real = apart.subprocess.Popen
        monkeypatch.setattr(apart, "PATIENCE_S", 1.0)
        monkeypatch.setattr(
            apart.subprocess,
            "Popen",
            lambda command, code=main, popen=real, **rest: popen([command[0], "-c", code], **rest),
        )
        status, reason = refusal_of(features_of, path)
        monkeypatch.undo()
        assert status == "unreadable" and words in reason and "f.h5 is damaged" in reason
    assert (features_of(path) == vectors()).all()


def test_without_another_process_files_are_read_all_the_same(tmp_path, monkeypatch):
    path = write(tmp_path / "f.h5", features=(vectors(), {}), coords=(CORNERS, {}))
    apart._end_all()

    def no_process(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr(apart.subprocess, "Popen", no_process)
    assert (features_of(path) == vectors()).all()
