"""A one-node SLURM, and a cohort as a local run leaves it."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cohorts import SmallRun
from running import planned, snakemake
from slurm import Slurm

SCRIPT = Path(__file__).with_name("slurm_one_node.sh")


@pytest.fixture(scope="session")
def slurm():
    """A running cluster of one node, gone again afterwards; the test is skipped where there can be none, never in CI."""
    without = pytest.fail if "CI" in os.environ else pytest.skip
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        without("snakemake-executor-plugin-slurm is not installed")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        without("installing and starting SLURM needs root and apt-get")
    run = subprocess.run([SCRIPT, "install"], capture_output=True, text=True, timeout=600)
    if run.returncode:
        without(f"SLURM cannot be installed: {(run.stderr or run.stdout).strip().splitlines()[-1]}")
    try:
        run = subprocess.run([SCRIPT, "start"], capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stdout + run.stderr
        yield Slurm(Path(os.environ.get("HISTOWEAVE_SLURM", "/var/lib/histoweave-slurm")))
    finally:
        subprocess.run([SCRIPT, "remove"], capture_output=True, timeout=300)


@pytest.fixture(scope="session")
def local(request):
    """A finished local run, its folder and how it is called: the whole demo in HISTOWEAVE_DEMO, else a part of it."""
    if named := os.environ.get("HISTOWEAVE_DEMO"):
        folder, config = Path(named).resolve(), ("--configfile", "config/demo/config.yaml")
        assert planned(snakemake("-n", *config, directory=folder)) == {}, (
            f"the demo in {folder} is not of this code: run it there, or unset HISTOWEAVE_DEMO"
        )
        return folder, config
    return request.getfixturevalue("small").folder, SmallRun.CONFIG
