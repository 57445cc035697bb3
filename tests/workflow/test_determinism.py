"""Two runs of one configuration give the same bytes, whatever the number of readers; other paths of the config work too."""

from cohorts import hashes, small_demo
from running import snakemake

from histoweave.io import read_json


def run(folder, *, readers):
    small_demo(folder, folds={"n_folds": 3, "repeats": 2}, mechanics={"read_workers": readers})
    snakemake("--cores", 2, "--configfile", "config/config.yaml", directory=folder)
    return hashes(folder / "results/demo")


def test_two_runs_are_byte_identical(tmp_path):
    first = run(tmp_path / "one", readers=2)
    second = run(tmp_path / "two", readers=1)
    assert len(first) > 100 and any(name.endswith("model.safetensors") for name in first)
    assert first == second
    record = read_json(tmp_path / "one/results/demo/fusion/image/fold5/config.json")
    assert (record["repeat"], record["fold"]) == (1, 2)
    assert not (tmp_path / "one/results/demo/control").exists()
