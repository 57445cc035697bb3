"""File systems without locks: HDF5 files are written and read, and GPUs are asked for elsewhere, in one line."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys

import pytest
from running import ROOT

from histoweave.errors import InputError
from histoweave.mechanics.lease import lease

NO_LOCKS = "#include <errno.h>\nint flock(int file, int how) { (void)file; (void)how; errno = ENOLCK; return -1; }\n"
WRITE_AND_READ = """
import sys
from histoweave.storage.hdf5 import new_hdf5
import anndata, h5py, numpy as np, pandas as pd
with new_hdf5("a.h5") as file:
    file["x"] = [1, 2]
for mode in ("r", "r+", "a"):
    with h5py.File("a.h5", mode) as file:
        assert file["x"][:].tolist() == [1, 2]
anndata.AnnData(pd.DataFrame({"g": [1.0]}, index=["s"])).write_h5ad("a.h5ad")
print(anndata.read_h5ad("a.h5ad").to_df())
"""


def python(code, folder, **environment):
    rest = {key: value for key, value in os.environ.items() if key != "HDF5_USE_FILE_LOCKING"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False,
        env=rest | {"PYTHONPATH": str(ROOT / "workflow")} | environment,
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("cc") is None and "CI" not in os.environ, reason="needs a C compiler")
def test_hdf5_files_on_a_file_system_without_locks(tmp_path):
    (tmp_path / "nolock.c").write_text(NO_LOCKS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "nolock.so", "nolock.c"], cwd=tmp_path, check=True)
    preload = {"LD_PRELOAD": str(tmp_path / "nolock.so")}
    finished = python(WRITE_AND_READ, tmp_path, **preload)
    assert finished.returncode == 0, finished.stderr
    # Who asks for locks gets them, and the system's answer.
    finished = python(WRITE_AND_READ, tmp_path, HDF5_USE_FILE_LOCKING="TRUE", **preload)
    assert finished.returncode and "No locks available" in finished.stderr


def test_hdf5_files_are_not_locked(tmp_path):
    code = "import histoweave, h5py, os\nwith h5py.File('a.h5', 'w') as f:\n print(open('/proc/locks').read())\n print(os.stat('a.h5').st_ino)"
    *locks, inode = python(code, tmp_path).stdout.split("\n")[:-1]
    assert not any(f":{inode} " in line for line in locks)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_gpus_without_locks_are_one_line(tmp_path, monkeypatch, code):
    def no_locks(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    folder = tmp_path / "locks"
    with pytest.raises(InputError, match=r"file system without locks .* set TMPDIR"), lease(1, folder=folder):
        pass
