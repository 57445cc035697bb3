"""Writers on a disk that takes nothing more: /dev/full, so that no test needs to mount one."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from histoweave.errors import InputError
from histoweave.features.file import FeatureFile
from histoweave.mechanics.log import redirect
from histoweave.slides.store import TileTable, tile_attributes
from histoweave.storage.files import atomic_path, check_writable
from histoweave.storage.hdf5 import NewHdf5, new_hdf5
from histoweave.storage.sink import Sink

FULL = Path("/dev/full")
NO_SPACE = os.strerror(errno.ENOSPC)


def test_a_sink_is_a_file_that_keeps_its_first_failure(tmp_path):
    with Sink(tmp_path / "a") as sink:
        assert sink.write(np.arange(3)) == 24
        sink.check()
    assert (tmp_path / "a").read_bytes() == np.arange(3).tobytes()
    with Sink(FULL) as sink:
        assert sink.write(b"abc") == 3 and sink.write(b"") == 0
        assert sink.problem.errno == errno.ENOSPC
        sink.truncate(8)
        with pytest.raises(OSError, match=NO_SPACE):
            sink.check()


def test_a_new_hdf5_file_is_one_like_any_other(tmp_path):
    values = np.random.default_rng(0).normal(size=(1000, 7))
    for name in "ab":
        with new_hdf5(tmp_path / name) as file:
            file.create_dataset("x", data=values, chunks=(100, 7)).attrs["of"] = "µm"
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with h5py.File(tmp_path / "a") as file:
        assert (file["x"][()] == values).all() and file["x"].attrs["of"] == "µm"


def test_a_failing_write_does_not_crash_the_process(tmp_path):
    """HDF5 by itself does: after a write that failed on an open file, at the latest when the process exits."""
    code = """
import resource, sys
import numpy as np
from histoweave.storage.hdf5 import new_hdf5
resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, 2**19))
for name in sys.argv[1:]:
    try:
        with new_hdf5(name) as file:
            x = file.create_dataset("x", shape=(0, 64), dtype="f8", maxshape=(None, 64), chunks=(512, 64))
            for rows in range(512, 4096, 512):
                x.resize(rows, axis=0)
                x[-512:] = np.ones((512, 64))
    except OSError as error:
        print(error.strerror)
"""
    command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in "abc")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout.splitlines(), run.stderr) == (0, 3 * [os.strerror(errno.EFBIG)], "")


def test_the_failing_write_counts_more_than_what_follows_from_it():
    with pytest.raises(OSError, match=NO_SPACE), NewHdf5(FULL) as new:
        new.file.create_dataset("x", data=np.ones(10))
        new.file.flush()
        raise RuntimeError("read back what was never written")


def test_features_stop_long_before_the_last_tile():
    coords = np.stack([np.arange(5000), np.zeros(5000)], axis=1).astype(np.int64)
    attributes = tile_attributes(slide="s", tile_px=64, target_mpp=0.5, overlap_px=0)
    tiles = TileTable("s", "slide", attributes, coords=coords, tissue_fraction=np.ones(5000))
    taken = 0
    with (
        pytest.raises(OSError, match=NO_SPACE),
        FeatureFile(FULL, tiles=tiles, dim=1024, precision="float32", attributes={}) as file,
    ):
        for first in range(0, 5000, 100):
            file.put(np.arange(first, first + 100), np.ones((100, 1024), np.float32))
            taken += 100
    assert taken < 4000  # of 4 kB each: HDF5 keeps some MiB of chunks before it writes the first


@pytest.mark.parametrize("failure", [None, InputError("row 3: mend it"), ZeroDivisionError("a bug")])
def test_a_full_log_hides_no_error(failure, capfd):
    def job():
        with redirect(str(FULL)):
            print("a line of the job")
            if failure:
                raise failure

    if failure is None:
        job()
    else:
        kind = SystemExit if isinstance(failure, InputError) else type(failure)
        with pytest.raises(kind, match=str(failure)):
            job()
    captured = capfd.readouterr()
    assert captured.err == f"log {FULL} is incomplete: {NO_SPACE}\n" and captured.out == ""


def test_a_log_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "logs").write_text("a file where a folder should be")
    begun = []
    path = tmp_path / "logs" / "tiles" / "job.log"
    with (
        pytest.raises(SystemExit, match=f"^error: {path} cannot be written: Not a directory; fix this") as caught,
        redirect(str(path)),
    ):
        begun.append(1)
    assert caught.value.code != 0 and not begun


def test_a_folder_is_tried_before_it_is_needed(tmp_path):
    check_writable(tmp_path / "not" / "yet" / "there")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/results cannot be written: Not a directory; fix this"):
        check_writable(tmp_path / "file" / "results")


def test_what_hdf5_could_not_write_names_the_file(tmp_path):
    def full(temporary):
        temporary.symlink_to(FULL)
        with new_hdf5(temporary) as file:
            file.create_dataset("x", data=np.ones(10))

    with pytest.raises(InputError, match=rf"a\.h5 cannot be written: {NO_SPACE}"), atomic_path(tmp_path / "a.h5") as t:
        full(t)
    assert list(tmp_path.iterdir()) == []
