"""Whole runs, made once per session."""

import shutil
import time

import pytest
from cohorts import SmallRun, hashes, simulated_files, small_demo
from running import ROOT, snakemake

# What whole runs the tests of several files look at, by the fixture that says so; the longest first.
_WHOLE_RUNS = {"demo": "demo", "small": "small", "slurm": "small"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """With `--dist loadgroup`: tests of one whole run in one process, so that it is made once; else a file at a time."""
    if not config.getoption("loadgroup", False):  # xdist sets it in its processes
        return
    groups = {item: _group(item) for item in items}
    whole = list(dict.fromkeys(_WHOLE_RUNS.values()))
    items.sort(key=lambda item: whole.index(groups[item]) if groups[item] in whole else len(whole))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item]))


def _group(item):
    return next((run for name, run in _WHOLE_RUNS.items() if name in item.fixturenames), item.nodeid.partition("::")[0])


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demo, run whole in a folder of its own. Returns that folder."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copytree(ROOT / "config" / "demo", folder / "config" / "demo")
    snakemake("--cores", 2, "--configfile", "config/demo/config.yaml", directory=folder)
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A part of the demo, run undisturbed: what runs that are killed, repeated or sent to a cluster have to equal."""
    base = tmp_path_factory.mktemp("small")
    folder = base / "run"
    small_demo(folder, mechanics={"slides_per_shard": 8})
    snakemake(*simulated_files(folder), "--cores", 2, *SmallRun.CONFIG, directory=folder)
    shutil.copytree(folder, base / "simulated", copy_function=shutil.copy2)
    started = time.monotonic()
    snakemake("--cores", 2, *SmallRun.CONFIG, directory=folder)
    return SmallRun(folder, base / "simulated", time.monotonic() - started, hashes(folder / "results"))
