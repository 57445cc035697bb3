"""Whole files or none, equal bytes for equal tables, one log per job."""

import os
from pathlib import Path

import pandas as pd
import pytest

from histoweave.errors import InputError
from histoweave.mechanics.log import redirect
from histoweave.storage import files as io


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "a.json"
    io.write_json(target, {"x": 1})
    with pytest.raises(RuntimeError), io.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert io.read_json(target) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_processes_of_one_id_and_host_do_not_share_a_temporary_file(tmp_path, monkeypatch):
    """As two containers do: each write is whole, whoever ends last."""
    target = tmp_path / "a.json"
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with io.atomic_path(target) as first:
        with io.atomic_path(target) as second:
            assert first != second
            first.write_text("first" * 9)
            second.write_text("second")
        assert target.read_text() == "second"
    assert target.read_text() == "first" * 9 and os.listdir(tmp_path) == ["a.json"]


def test_only_abandoned_temporary_files_are_removed(tmp_path, monkeypatch):
    target, unused = tmp_path / "a.json", 2**22 + 1  # above every process id
    space = io._process_space()
    kept = [f"{space}~{os.getpid()}~x", f"otherbox~{unused}~x", f"otherbox~{os.getpid()}~x"]
    gone = [f"{space}~{unused}~x", f"otherbox~{os.getpid()}~old"]
    for name in (*kept, *gone):
        (tmp_path / f".partial~a.json~{name}.json").touch()
    os.utime(tmp_path / f".partial~a.json~{gone[1]}.json", (1, 1))
    (tmp_path / f".partial~b.json~{gone[0]}.json").touch()
    io.write_json(target, {})
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.json", f".partial~b.json~{gone[0]}.json", *(f".partial~a.json~{name}.json" for name in kept)}


def test_equal_tables_give_equal_bytes(tmp_path):
    table = pd.DataFrame({"a": ["x", None], "b": [1.5, float("nan")]})
    io.write_table(tmp_path / "1.parquet", table)
    io.write_table(tmp_path / "2.parquet", table.copy().set_axis([7, 9]))
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    pd.testing.assert_frame_equal(io.read_table(tmp_path / "1.parquet"), table)


def test_sha256_of_a_folder_depends_on_names_and_bytes(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("1")
    first = io.sha256_of(tmp_path / "d")
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    assert io.sha256_of(tmp_path / "d") != first
    assert io.sha256_of(tmp_path / "d" / "b") == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


def test_log_holds_output_of_python_and_of_c(tmp_path, capfd):
    path = str(tmp_path / "logs" / "job.log")
    with redirect(path):
        print("from python")
        os.write(2, b"from c\n")
    text = Path(path).read_text()
    assert "from python" in text and "from c" in text
    with pytest.raises(SystemExit, match="mend it") as caught, redirect(path):
        raise InputError("row 3: mend it")
    assert caught.value.code != 0 and "row 3" in Path(path).read_text()
    with pytest.raises(ZeroDivisionError), redirect(path):
        1 / 0  # noqa: B018
    assert "ZeroDivisionError" in Path(path).read_text()
