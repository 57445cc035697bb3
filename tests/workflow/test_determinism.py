"""Two runs of one configuration give the same bytes, whatever the mechanics; other paths of the config work too."""

from cohorts import SmallRun, hashes, small_demo
from running import snakemake

from histoweave.io import read_json


def test_two_runs_are_byte_identical(small, tmp_path):
    other = tmp_path / "other"
    small_demo(other, mechanics={"read_workers": 1})
    snakemake("--cores", 2, *SmallRun.CONFIG, directory=other)
    assert len(small.hashes) > 100 and any(name.endswith("model.safetensors") for name in small.hashes)
    assert hashes(other / "results") == small.hashes


def test_repeats_have_folds_of_their_own(small):
    results = small.folder / "results/demo"
    record = read_json(results / "fusion/image/fold3/config.json")
    assert (record["repeat"], record["fold"]) == (1, 1)
    assert not (results / "control").exists()
