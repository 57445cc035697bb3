"""Which shards of cells are made again when files behind them are others, though of the same size and time."""

import os
import time

import pytest
from cell_stubs import COHORT, GIVEN, base_config, make_cohorts

from histoweave.cells import seen
from histoweave.settings.config import parse_config
from histoweave.storage.files import write_text
from histoweave.wiring.cells import CellWiring, check_cells


def changes(path):
    """What may happen to a picture, and whether its shard has to be made again."""
    stat = path.stat()
    time.sleep(0.02)

    def other_content():
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def the_same_again():
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def other_rights():
        path.chmod(0o600)

    def another_link():
        os.link(path, path.with_name("backup"))

    return {
        change.__name__: (change, change is other_content)
        for change in (other_content, the_same_again, other_rights, another_link)
    }


@pytest.mark.parametrize("name", ["other_content", "the_same_again", "other_rights", "another_link"])
@pytest.mark.parametrize("cohort, file", [(COHORT, "c20.png"), (GIVEN, "P3.h5")])
def test_shards_of_changed_files(tmp_path, monkeypatch, name, cohort, file):
    folder = tmp_path / "run"
    make_cohorts(folder)
    monkeypatch.chdir(folder)
    config = parse_config(base_config())
    wiring = CellWiring(config, check_cells(config), {})
    for shard in wiring.shard_files(cohort):
        write_text(shard, "stub")
    assert wiring.untrue_shards() == {}  # nothing was noted by the version that made them
    for shard in wiring.shard_files(cohort):
        items = wiring.shard_items(cohort, os.path.basename(shard).removesuffix(".h5"))
        seen.note(shard, seen.look_at(wiring.cohorts[cohort].files(items)))
    assert wiring.untrue_shards() == {}
    change, again = changes(folder / cohort / file)[name]
    change()
    found = wiring.untrue_shards()
    assert list(found.values()) == ([[f"{cohort}/{file}"]] if again else [])
    for shard in found:
        shard.unlink()  # deleted results are not asked for again by this
    assert wiring.untrue_shards() == {}


@pytest.mark.parametrize("torn", ["", "[]", "{}", "5", '{"a": 1}', '{"a": [1]}', '{"a": ["x", "y"]}'])
def test_damaged_notes_count_as_none(tmp_path, torn):
    (tmp_path / "s.h5").touch()
    seen.note(tmp_path / "s.h5", {})
    seen.notes_path(tmp_path / "s.h5").write_text(torn)
    assert seen.changed_since([tmp_path / "s.h5"]) == {}
