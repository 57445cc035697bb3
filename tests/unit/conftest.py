"""Fixtures of several unit tests."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# An example may take as long as it does: on a busy machine, and while coverage counts lines, the first takes longer.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

NOBODY = 65534


@pytest.fixture
def not_mine():
    """A folder with files, some of which this process may not read while the test runs, even as root.

    `open.png` is everybody's, `mine_alone.png` nobody's but its owner's, and so is the folder `closed` with `a.png`.
    """
    folder = Path(tempfile.mkdtemp(prefix="rights-"))
    (folder / "closed").mkdir()
    for name in ("open.png", "mine_alone.png", "closed/a.png"):
        (folder / name).write_bytes(b"content")
    folder.chmod(0o755)
    rights = {"mine_alone.png": 0o000, "closed": 0o000}
    for name, mode in rights.items():
        (folder / name).chmod(mode)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        (folder / "closed").chmod(0o700)
        shutil.rmtree(folder)
