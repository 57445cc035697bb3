"""Whole runs, made once per session."""

import shutil
import time

import pytest
from cohorts import SmallRun, hashes, simulated_files, small_demo
from running import ROOT, snakemake


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
