"""Whole runs, made once per session."""

import shutil

import pytest
from running import ROOT, snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demo, run whole in a folder of its own. Returns that folder."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copytree(ROOT / "config" / "demo", folder / "config" / "demo")
    snakemake("--cores", 2, "--configfile", "config/demo/config.yaml", directory=folder)
    return folder
