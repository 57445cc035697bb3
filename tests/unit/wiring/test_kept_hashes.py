"""Fingerprints that are kept between runs: the same as without, never of another content, and never needed."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from running import ROOT

from histoweave.wiring.kept_hashes import KeptHashes, cache_file
from histoweave.wiring.syntax import Source

ASK = "from histoweave.wiring.fingerprint import code_hash; print(code_hash('histoweave.cohort.folds'), code_hash('histoweave.pages.report.page'))"


def asked(cache, library=ROOT / "workflow"):
    """Two fingerprints, in a process of its own."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(library)}
    command = [sys.executable, "-c", ASK]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_kept_fingerprints_are_those_of_the_code(tmp_path):
    first = asked(tmp_path)
    kept = json.loads((tmp_path / "histoweave/modules.json").read_text())
    assert len(kept) > 50 and os.listdir(tmp_path / "histoweave") == ["modules.json"]
    assert asked(tmp_path) == first == asked(tmp_path / "other")


def test_a_changed_module_is_read_again(tmp_path):
    library = shutil.copytree(ROOT / "workflow", tmp_path / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    before = asked(tmp_path / "cache", library)
    module = library / "histoweave/cohort/folds.py"
    text = module.read_text()
    module.write_text(text + "\nADDED = 1\n")
    after = asked(tmp_path / "cache", library)
    assert after[0] != before[0] and after == asked(tmp_path / "none", library)
    module.write_text(text + "\n# a comment\n")
    assert asked(tmp_path / "cache", library) == before


@pytest.mark.parametrize(
    "content",
    ["", "[1, 2]", "{", '{"k": ["00", [], []]}', '{"k": ["' + "0" * 64 + '", [["a"]], []]}', "[" * 100_000],
    ids=range(6),
)
def test_a_damaged_file_is_done_without_and_written_again(tmp_path, content):
    path = tmp_path / "modules.json"
    path.write_text(content)
    kept = KeptHashes(path)
    assert kept.get("k") is None
    entry = Source(bytes(range(32)), (("histoweave.storage.files", "write"), ("histoweave.ids", "")), ())
    kept.add("k", entry)
    kept.save()
    assert KeptHashes(path).get("k") == entry


def test_a_place_that_cannot_be_written_is_no_fault(tmp_path):
    (tmp_path / "histoweave").write_text("a file where the folder should be")
    assert asked(tmp_path) == asked(tmp_path / "other")


def test_the_oldest_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr("histoweave.wiring.kept_hashes._MOST", 3)
    kept = KeptHashes(tmp_path / "modules.json")
    for number in range(5):
        kept.add(str(number), Source(bytes(32), (), ()))
    kept.save()
    assert list(json.loads((tmp_path / "modules.json").read_text())) == ["2", "3", "4"]


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_file() == tmp_path / "histoweave/modules.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_file() == tmp_path / ".cache/histoweave/modules.json"
