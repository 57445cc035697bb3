"""What a path stands for, and when a slide is looked at again."""

import os
import time
import zipfile
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoweave.storage.files import read_json, write_json
from histoweave.storage.records import Outcome, read_index
from histoweave.storage.shards import SlideWork, run_shard
from histoweave.storage.sources import files_of, source, source_stamp

DICOM = bytes(128) + b"DICM"


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(path):
    return [file.name for file in files_of(path)]


def test_companions_of_each_format(tmp_path):
    write(tmp_path / "alone.svs")
    write(tmp_path / "beside.svs")
    assert names(tmp_path / "alone.svs") == ["alone.svs"]
    write(tmp_path / "m.mrxs")
    assert names(tmp_path / "m.mrxs") == ["m.mrxs"]
    for name in ("Slidedat.ini", "Data0000.dat", "._Data0000.dat"):
        write(tmp_path / "m" / name)
    assert names(tmp_path / "m.mrxs") == ["m.mrxs", "Data0000.dat", "Slidedat.ini"]
    write(tmp_path / "h.vms", b"[Virtual Microscope Specimen]\nImageFile=h.jpg\nMapFile=h_map.jpg\nNoLayers=1\n")
    write(tmp_path / "h.jpg")
    assert names(tmp_path / "h.vms") == ["h.vms", "h.jpg", "h_map.jpg"]
    for name in ("1.2.3.4", "1.2.3.5", "c.dcm", "._c.dcm", "picture.png"):
        write(tmp_path / "d" / name, DICOM)
    for name in ("1.2.3.4", "c.dcm"):
        assert set(names(tmp_path / "d" / name)) == {"1.2.3.4", "1.2.3.5", "c.dcm"}
    assert set(names(tmp_path / "d")) == {"1.2.3.4", "1.2.3.5", "c.dcm", "picture.png"}


def test_the_stamp_of_a_single_file_is_its_size_and_time(tmp_path):
    path = write(tmp_path / "a.svs", b"12345")
    assert source_stamp(path) == [5, path.stat().st_mtime_ns]
    assert source_stamp("") is None and source_stamp(None) is None and source_stamp(tmp_path / "none") is None
    assert source_stamp("a\0b") is None


def changes(folder):
    """What may happen to the files behind a slide, each as a function and whether the slide has to be read again."""
    data = folder / "Data0000.dat"

    def arrives():
        write(folder / "Data0001.dat")

    def leaves():
        data.unlink()

    def grows():
        data.write_bytes(b"longer than before")

    def replaced_by_an_older_one_of_its_size():
        data.write_bytes(b"other")
        os.utime(data, (1e9, 1e9))

    def renamed():
        data.rename(folder / "Data0009.dat")

    def replaced_with_its_size_and_time():
        stat = data.stat()
        time.sleep(0.02)
        data.write_bytes(b"other")
        os.utime(data, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def other_rights():
        time.sleep(0.02)
        data.chmod(0o600)

    def another_link():
        time.sleep(0.02)
        os.link(data, folder.parent / "backup")

    def hidden_twin():
        write(folder / "._Data0000.dat")

    again = (arrives, leaves, grows, replaced_by_an_older_one_of_its_size, renamed, replaced_with_its_size_and_time)
    return {change.__name__: (change, True) for change in again} | {
        change.__name__: (change, False) for change in (other_rights, another_link, hidden_twin)
    }


class Slide:
    """One slide, whose stage counts how often it works."""

    def __init__(self, root, path):
        self.root, self.path, self.worked, self.status = root, path, 0, "ok"
        self.index = root / "out/shards/0-of-1.json"

    def call(self):
        """As a run does: look at the index, then at the shard if the index has gone. Returns whether it worked."""
        before = self.worked
        if not self.index.exists() or not all(record.holds(self.root / "out") for record in read_index(self.index)):
            run_shard([self.work()], index=self.index, on_error="continue")
        return self.worked > before

    def work(self):
        out = self.root / "out/s.h5"

        def run():
            self.worked += 1
            write(out)
            return Outcome(self.status, content="c")

        return SlideWork("s", {}, (str(self.path),), (out,), run, lambda status, reason: Outcome(status, reason))


@pytest.fixture
def mrxs(tmp_path):
    path = write(tmp_path / "slides/m.mrxs")
    write(tmp_path / "slides/m/Data0000.dat", b"first")
    write(tmp_path / "slides/m/Slidedat.ini")
    return Slide(tmp_path, path)


CHANGES = [
    "arrives", "leaves", "grows", "replaced_by_an_older_one_of_its_size", "renamed", "replaced_with_its_size_and_time",
    "other_rights", "another_link", "hidden_twin",
]  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("status", ["ok", "too_coarse", "unreadable"])
def test_a_slide_is_read_again_when_its_companions_are_others(mrxs, name, status):
    mrxs.status = status
    assert mrxs.call() and not mrxs.call()
    change, again = changes(mrxs.path.with_suffix(""))[name]
    change()
    assert mrxs.call() == again
    assert not mrxs.call()


def test_the_same_for_a_folder_as_a_source(tmp_path):
    for name in CHANGES:
        folder = tmp_path / name / "tiles"
        write(folder / "Data0000.dat", b"first")
        slide = Slide(tmp_path / name, folder)
        assert slide.call() and not slide.call()
        change, again = changes(folder)[name]
        change()
        assert slide.call() == again, name
        assert not slide.call(), name


def test_what_could_not_be_read_is_tried_when_it_can_be(not_mine):
    seen = {name: source_stamp(not_mine / name) for name in ("open.png", "mine_alone.png", "closed/a.png", "closed")}
    assert seen.pop("open.png") is not None and set(seen.values()) == {None}


def test_mended_rights_are_a_reason_to_try_again(tmp_path, monkeypatch):
    path = write(tmp_path / "a.svs")
    slide = Slide(tmp_path, path)
    slide.status = "unreadable"
    closed = True
    monkeypatch.setattr("histoweave.storage.sources.may_read", lambda *_, **__: not closed)
    assert slide.call() and not slide.call()
    closed, slide.status = False, "ok"
    assert slide.call() and not slide.call()
    assert source_stamp(path) == read_index(slide.index)[0].sources[str(path)]


def test_a_disk_that_failed_for_a_while_is_tried_again(tmp_path, monkeypatch):
    slide = Slide(tmp_path, write(tmp_path / "a.svs"))
    slide.status = "unreadable"
    with monkeypatch.context() as patch:
        patch.setattr("histoweave.storage.sources._content_of", lambda file, whole: None)  # input/output error
        assert slide.call() and not slide.call()
    slide.status = "ok"
    assert slide.call() and not slide.call()


def test_unreadable_slides_are_tried_whenever_their_shard_is_worked_on(tmp_path):
    slide = Slide(tmp_path, write(tmp_path / "a.svs"))
    for status, again in (("unreadable", True), ("missing_file", True), ("no_mpp", False), ("ok", False)):
        slide.status = status
        run_shard([slide.work()], index=slide.index, on_error="continue")
        before = slide.worked
        run_shard([slide.work()], index=slide.index, on_error="continue")
        assert (slide.worked > before) == again, status
        (tmp_path / "out/records/s.json").unlink()
    slide.status = "unreadable"
    work = replace(slide.work(), refused_before=True)
    run_shard([work], index=slide.index, on_error="continue")
    before = slide.worked
    run_shard([work], index=slide.index, on_error="continue")
    assert slide.worked == before


def test_records_of_earlier_versions_still_count(tmp_path):
    path = write(tmp_path / "a.svs")
    slide = Slide(tmp_path, path)
    slide.call()
    records = [asdict(record) for record in read_index(slide.index)]
    for record in records:
        del record["looks"]
        assert record["sources"] == {str(path): [1, path.stat().st_mtime_ns]}  # as they wrote it
    write_json(slide.index, records)
    assert "looks" not in read_json(slide.index)[0]
    assert not slide.call()
    os.utime(path, (1e9, 1e9))
    assert slide.call()


@given(st.lists(st.binary(min_size=0, max_size=20000), min_size=1, max_size=5), st.data())
def test_a_look_sees_any_change_in_small_files(tmp_path_factory, contents, data):
    folder = tmp_path_factory.mktemp("look")
    for number, content in enumerate(contents):
        write(folder / str(number), content)
    before = source(folder).look()
    assert source(folder).look() == before
    at = data.draw(st.integers(0, len(contents) - 1))
    if 0 < len(contents[at]) <= 8192:
        place = data.draw(st.integers(0, len(contents[at]) - 1))
        changed = bytearray(contents[at])
        changed[place] ^= 1
        (folder / str(at)).write_bytes(changed)
        assert source(folder).look() != before


def test_rows_swapped_in_the_middle_of_a_file_of_equal_size_and_time(tmp_path):
    path = write(tmp_path / "f.h5", b"a" * 300_000 + b"1" + b"b" * 99_999 + b"2" + b"c" * 300_000)
    slide = Slide(tmp_path, path)
    slide.call()
    stat = path.stat()
    time.sleep(0.02)
    path.write_bytes(path.read_bytes().translate(bytes.maketrans(b"12", b"21")))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert slide.call() and not slide.call()


def test_two_of_many_tiles_that_swapped_names(tmp_path):
    for number in range(200):
        os.utime(write(tmp_path / f"tiles/{number}.png", f"{number:9}".encode()), (1e9, 1e9))
    slide = Slide(tmp_path, tmp_path / "tiles")
    slide.call()
    time.sleep(0.02)
    one, other = tmp_path / "tiles/101.png", tmp_path / "tiles/102.png"
    one.rename(tmp_path / "kept")
    other.rename(one)
    (tmp_path / "kept").rename(other)
    assert slide.call() and not slide.call()


def test_the_list_of_members_of_a_large_archive_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("histoweave.storage.sources._WHOLE_BYTES", 10)
    looks = []
    for changed in (b"1", b"2"):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for number in range(400):
                content = bytes(3000) + (changed if number == 150 else b"0")
                archive.writestr(zipfile.ZipInfo(f"{number}.png", (2020, 1, 1, 0, 0, 0)), content)
        looks.append(source(tmp_path / "a.zip").look())
    assert looks[0] != looks[1]


def test_an_index_of_hamamatsu_may_name_anything(tmp_path):
    index = write(tmp_path / "h.vms", b"a=\0.jpg\nb=../x.jpg\nc=.\nno value\n=\nd=" + b"z" * 300 + b".jpg")
    stamp = source_stamp(index)
    assert stamp is not None and source_stamp(index) == stamp


def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.dat")
    assert source(tmp_path / "pipe.dat").look() == 0
