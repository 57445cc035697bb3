import errno
import os
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoweave.errors import InputError
from histoweave.storage.files import atomic_path, read_json, write_json, write_text
from histoweave.storage.records import Outcome, artefacts, read_index, untrue_indexes
from histoweave.storage.shards import SlideWork, run_shard, shards_of

IDS = st.sets(st.text(alphabet="abcXYZ019._-", min_size=1, max_size=12), min_size=1, max_size=80)


@given(ids=IDS, per_shard=st.integers(1, 40))
def test_every_slide_is_in_one_shard(ids, per_shard):
    shards = shards_of(ids, slides_per_shard=per_shard)
    assert sorted(slide for slides in shards.values() for slide in slides) == sorted(ids)
    counts = {int(name.split("-of-")[1]) for name in shards}
    (n_shards,) = counts
    assert n_shards & (n_shards - 1) == 0 and n_shards * per_shard >= len(ids)
    assert n_shards == 1 or n_shards // 2 * per_shard < len(ids)


@given(ids=IDS, new=st.text(alphabet="pqr", min_size=1, max_size=5), per_shard=st.integers(1, 40))
def test_a_slide_more_touches_one_shard(ids, new, per_shard):
    before = shards_of(ids, slides_per_shard=per_shard)
    after = shards_of({*ids, new}, slides_per_shard=per_shard)
    if {name.split("-of-")[1] for name in before} == {name.split("-of-")[1] for name in after}:
        changed = [name for name in after if before.get(name) != after[name]]
        assert len(changed) == 1 and new in after[changed[0]]


def test_ten_thousand_slides_are_spread_evenly():
    sizes = [len(slides) for slides in shards_of((f"S{i}" for i in range(10_000)), slides_per_shard=32).values()]
    assert len(sizes) == 512 and max(sizes) < 45


class Stage:
    """A stage that counts what it works on and fails as it is told."""

    def __init__(self, folder):
        self.folder = folder
        self.index = folder / "shards" / "0-of-1.json"
        self.worked = []
        self.refused = []
        self.troubles = {}
        self.statuses = {}
        self.prepared = 0

    def work(self, slide, **inputs):
        source, out = self.folder.parent / f"{slide}.src", self.folder / f"{slide}.h5"
        if not source.exists():
            source.write_text(slide)

        def run():
            self.worked.append(slide)
            if slide in self.troubles:
                raise self.troubles[slide]
            write_text(out, source.read_text())
            status = self.statuses.get(slide, "ok")
            return Outcome(status, "" if status == "ok" else "because", content=source.read_text())

        def refuse(status, reason):
            self.refused.append(slide)
            write_text(out, "")
            return Outcome(status, reason)

        return SlideWork(slide, inputs, (str(source),), (out,), run, refuse)

    def run(self, slides="abc", on_error="continue", inputs=None, **more):
        self.worked.clear()
        works = [self.work(slide, **(inputs or {})) for slide in slides]

        def prepare():
            self.prepared += 1

        return run_shard(works, index=self.index, on_error=on_error, prepare=prepare, **more)


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "out")


def test_a_second_run_works_on_nothing(stage):
    records = stage.run()
    assert stage.worked == ["a", "b", "c"] and stage.prepared == 1
    assert [record.slide for record in records] == ["a", "b", "c"]
    assert read_index(stage.index) == records
    assert artefacts([stage.index]) == {slide: str(stage.folder / f"{slide}.h5") for slide in "abc"}
    stage.index.unlink()
    assert stage.run() == records
    assert stage.worked == [] and stage.prepared == 1


def test_only_what_changed_is_worked_on(stage):
    stage.run()
    inodes = {slide: (stage.folder / f"{slide}.h5").stat().st_ino for slide in "abc"}
    stage.run("abcd")
    assert stage.worked == ["d"]
    (stage.folder.parent / "b.src").write_text("changed")
    stage.run("abcd")
    assert stage.worked == ["b"] and (stage.folder / "b.h5").read_text() == "changed"
    (stage.folder / "a.h5").write_text("")
    stage.run("abcd")
    assert stage.worked == ["a"]
    (stage.folder / "records" / "d.json").unlink()
    stage.run("abcd")
    assert stage.worked == ["d"]
    assert (stage.folder / "c.h5").stat().st_ino == inodes["c"]
    stage.run("abcd", inputs={"code": "other"})
    assert stage.worked == ["a", "b", "c", "d"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_failing_slide_does_not_fail_its_shard(stage, workers, capfd):
    stage.troubles["b"] = RuntimeError("a bug")
    records = stage.run(workers=workers)
    assert [record.outcome.status for record in records] == ["ok", "failed", "ok"]
    assert records[1].outcome.reason == "RuntimeError: a bug" and stage.refused == ["b"]
    assert "Traceback" in capfd.readouterr().err
    stage.troubles.clear()
    assert [record.outcome.status for record in stage.run()] == ["ok", "ok", "ok"]
    assert stage.worked == ["b"]


def test_stop_ends_at_the_first_and_keeps_what_was_done(stage):
    stage.troubles["b"] = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        stage.run(on_error="stop")
    assert not stage.index.exists() and "c" not in stage.worked
    stage.troubles.clear()
    stage.run(on_error="stop")
    assert stage.worked == ["b", "c"]


def test_a_slide_that_was_refused_before_stops_a_strict_run(stage):
    stage.statuses["c"] = "no_mpp"
    stage.run()
    with pytest.raises(InputError, match="slide 'c': no_mpp: because"):
        stage.run(on_error="stop")


def test_what_cannot_be_written_is_not_done(stage):
    def full():
        with atomic_path(stage.folder / "b.h5"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    works = [stage.work(slide) for slide in "abc"]
    works[1] = replace(works[1], run=full)
    with pytest.raises(InputError, match=r"1 of 3 slides .*'b'.*No space left on device"):
        run_shard(works, index=stage.index, on_error="continue")
    assert not stage.index.exists() and stage.worked == ["a", "c"]
    stage.run()
    assert stage.worked == ["b"]


def test_an_outcome_that_does_not_stand_any_more_is_made_again(stage):
    stage.run()
    works = [replace(stage.work(slide), stands=lambda outcome, slide=slide: slide != "b") for slide in "abc"]
    stage.worked.clear()
    run_shard(works, index=stage.index, on_error="continue")
    assert stage.worked == ["b"]


def test_what_ends_the_preparation_ends_the_shard(stage):
    def prepare():
        raise InputError("no weights")

    with pytest.raises(InputError, match="no weights"):
        run_shard([stage.work("a")], index=stage.index, on_error="continue", prepare=prepare)
    assert stage.worked == []


def test_an_index_that_is_not_true_any_more_is_named_and_left(stage):
    stage.run()
    assert untrue_indexes([stage.index]) == {}
    (stage.folder / "b.h5").unlink()
    assert untrue_indexes([stage.index]) == {stage.index: ["b"]} and stage.index.exists()
    stage.run()
    assert stage.worked == ["b"] and untrue_indexes([stage.index]) == {}
    source = stage.folder.parent / "c.src"
    os.utime(source, (time.time() - 1e6,) * 2)
    assert untrue_indexes([stage.index, stage.folder / "none.json"]) == {stage.index: ["c"]}


def test_in_a_strict_run_an_index_with_a_slide_that_cannot_be_used_is_untrue(stage):
    stage.statuses["b"] = "no_mpp"
    stage.run()
    assert untrue_indexes([stage.index]) == {}
    assert untrue_indexes([stage.index], on_error="stop") == {stage.index: ["b"]}


def test_the_index_is_plain_json(stage):
    stage.run("a")
    (content,) = read_json(stage.index)
    assert content["slide"] == "a" and content["outcome"]["status"] == "ok" and content["files"] == {"a.h5": 1}


@pytest.mark.parametrize("torn", ["", "[", "{}", "[]", "null", "5", '[{"slide": 1}]', '{"slide": "a"}', "later"])
def test_damaged_records_and_indexes_count_as_none(stage, torn):
    stage.run()
    index, record = read_json(stage.index), read_json(stage.folder / "records/b.json")
    if torn == "later":
        write_json(stage.index, [one | {"key_of_a_later_version": 1} for one in index])
        write_json(stage.folder / "records/b.json", record | {"key_of_a_later_version": 1})
    else:
        stage.index.write_text(torn)
        (stage.folder / "records/b.json").write_text(torn)
    if torn != "[]":  # the whole index of a shard without slides
        assert untrue_indexes([stage.index]) == {stage.index: ["0-of-1"]}
        with pytest.raises(InputError, match="is damaged, or was written by another version"):
            read_index(stage.index)
    stage.run()
    assert stage.worked == ["b"] and untrue_indexes([stage.index]) == {}


@given(key=st.sampled_from(["slide", "outcome", "sources", "files", "looks", "fingerprint", "seconds", "tries_left"]),
       value=st.sampled_from([None, 5.5, "x", [], [1], {"a": "b"}]))  # fmt: skip
def test_records_with_values_of_another_kind_never_end_a_run(tmp_path_factory, key, value):
    stage = Stage(tmp_path_factory.mktemp("kind") / "out")
    stage.run("a")
    place = stage.folder / "records/a.json"
    write_json(place, read_json(place) | {key: value})
    write_json(stage.index, [read_json(stage.index)[0] | {key: value}])
    untrue_indexes([stage.index])
    stage.run("a")
    stage.index.unlink()
    stage.run("a")
    assert untrue_indexes([stage.index]) == {}


def test_what_failed_for_want_of_memory_is_tried_in_later_runs_but_not_for_ever(stage):
    stage.troubles = {"b": MemoryError("no memory")}
    for _ in range(3):
        stage.run()
        assert stage.worked in (["a", "b", "c"], ["b"])
        last = untrue_indexes([stage.index])
    assert last == {}
    stage.troubles = {"b": OSError(errno.EIO, os.strerror(errno.EIO))}
    stage.run()  # another reason counts anew
    assert untrue_indexes([stage.index]) == {stage.index: ["b"]}
    stage.troubles = {}
    stage.run()
    assert stage.worked == ["b"] and untrue_indexes([stage.index]) == {}


def test_a_damaged_file_is_not_tried_in_every_run(stage):
    stage.statuses = {"b": "unreadable"}
    stage.troubles = {"c": ValueError("odd")}
    stage.run()
    assert untrue_indexes([stage.index]) == {}
