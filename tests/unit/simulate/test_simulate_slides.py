"""A shard of simulated slides: the same files as each slide alone, and only what is not there yet is drawn."""

import os

import pytest

from histoweave.errors import InputError
from histoweave.settings.cohorts import Simulate
from histoweave.simulate import simulate_slides
from histoweave.simulate.simulate_slides import simulate_shard
from histoweave.simulate.slide import write_slide
from histoweave.simulate.truth import truth_files
from histoweave.storage.files import read_json, sha256_of
from histoweave.storage.records import untrue_indexes

SITES = {"one": "ZA", "two": "ZB", "three": "north"}
SETTINGS = Simulate(seed=3, field_um=300.0, truncated=["two"])


def given(**changed):
    """What the rule hands over for three slides. changed: settings by slide."""
    return [
        {
            "slide": slide,
            "patient": "p",
            "site": site,
            "image_factor": True,
            "settings": SETTINGS.model_copy(update=changed.get(slide, {})).model_dump(),
        }
        for slide, site in SITES.items()
    ]


@pytest.fixture
def shard(tmp_path, monkeypatch):
    """A function that runs the shard's job, and returns the slides that it draws; they are drawn in `tmp_path`."""
    drawn = []

    def draw(*files, slide, **arguments):
        drawn.append(slide)
        write_slide(*files, slide=slide, **arguments)

    def run(slides=None, code="c"):
        drawn.clear()
        simulate_shard(slides or given(), index=tmp_path / "shards/0-of-1.json", code=code)
        return drawn

    monkeypatch.setattr(simulate_slides, "write_slide", draw)
    return run


def contents(folder):
    """SHA-256 by name of all slides and truths below a folder."""
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for kind in ("slides", "truth")
        for path in sorted((folder / kind).iterdir())
    }


def test_a_shards_slides_are_those_that_are_drawn_alone(shard, tmp_path):
    assert shard() == list(SITES)
    alone = tmp_path / "alone"
    for one in given():
        files = alone / f"slides/{one['slide']}.tiff", alone / f"truth/{one['slide']}.parquet"
        write_slide(*files, **one | {"settings": SETTINGS})
    assert contents(tmp_path) == contents(alone) and len(contents(alone)) == 6


def test_nothing_is_drawn_twice(shard, tmp_path):
    shard()
    before = contents(tmp_path)
    assert shard() == [] and contents(tmp_path) == before


@pytest.mark.parametrize("key", ["no_mpp", "no_tissue", "truncated"])
def test_a_slides_own_settings_draw_that_slide_only(shard, key):
    shard()
    assert shard(given(one={key: ["one"]})) == ["one"]


def test_other_code_draws_all(shard):
    shard()
    assert shard(code="d") == list(SITES)


@pytest.mark.parametrize("name", ["slides/two.tiff", "truth/two.parquet"])
@pytest.mark.parametrize("harm", [os.unlink, lambda path: os.truncate(path, 100)], ids=["deleted", "cut short"])
def test_a_lost_file_is_noticed_and_its_slide_drawn_again(shard, tmp_path, name, harm):
    shard()
    before = contents(tmp_path)
    index = tmp_path / "shards/0-of-1.json"
    assert untrue_indexes([index]) == {}
    harm(tmp_path / name)
    assert untrue_indexes([index]) == {index: ["two"]}
    assert shard() == ["two"] and contents(tmp_path) == before
    assert untrue_indexes([index]) == {}


def test_a_slide_without_its_truth_is_not_done(shard, tmp_path, monkeypatch):
    """As a job leaves it that is killed between the two files; what it finished before stays."""

    def killed(*arguments):
        raise KeyboardInterrupt

    shard(given()[:1])
    with monkeypatch.context() as patch:
        patch.setattr("histoweave.simulate.slide.write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            shard()
    assert (tmp_path / "slides/two.tiff").exists() and not (tmp_path / "records/two.json").exists()
    assert shard() == ["two", "three"]


def test_truth_files_are_those_of_the_index(shard, tmp_path):
    shard()
    (tmp_path / "truth/left.parquet").write_bytes(b"of a slide that is no longer in the table")
    index = tmp_path / "shards/0-of-1.json"
    assert sorted(truth_files([index])) == sorted(tmp_path / f"truth/{slide}.parquet" for slide in SITES)
    assert {record["slide"] for record in read_json(index)} == set(SITES)


def test_an_unknown_site_is_refused_and_the_slides_before_it_stay(shard, tmp_path):
    slides = given()
    slides[1]["site"] = "nowhere"
    with pytest.raises(InputError, match="site 'nowhere' cannot be simulated"):
        shard(slides)
    assert (tmp_path / "records/one.json").exists() and not (tmp_path / "shards/0-of-1.json").exists()
    assert shard() == ["two", "three"]
