"""A one-node SLURM, and the demo as a local run makes it."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from running import planned, snakemake
from slurm import Slurm

SCRIPT = Path(__file__).with_name("slurm_one_node.sh")


@pytest.fixture(scope="session")
def slurm():
    """A running cluster of one node, gone again afterwards; the test is skipped where there can be none."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("snakemake-executor-plugin-slurm is not installed")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("installing and starting SLURM needs root and apt-get")
    run = subprocess.run([SCRIPT, "install"], capture_output=True, text=True, timeout=600)
    if run.returncode:
        pytest.skip(f"SLURM cannot be installed: {(run.stderr or run.stdout).strip().splitlines()[-1]}")
    try:
        run = subprocess.run([SCRIPT, "start"], capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stdout + run.stderr
        yield Slurm(Path(os.environ.get("HISTOWEAVE_SLURM", "/var/lib/histoweave-slurm")))
    finally:
        subprocess.run([SCRIPT, "remove"], capture_output=True, timeout=300)


@pytest.fixture(scope="session")
def local(request):
    """The folder of a finished local run of the demo: HISTOWEAVE_DEMO names one, else it is made."""
    if named := os.environ.get("HISTOWEAVE_DEMO"):
        folder = Path(named).resolve()
        assert planned(snakemake("-n", "--configfile", "config/demo/config.yaml", directory=folder)) == {}, (
            f"the demo in {folder} is not of this code: run it there, or unset HISTOWEAVE_DEMO"
        )
        return folder
    return request.getfixturevalue("demo")
