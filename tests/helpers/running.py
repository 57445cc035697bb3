"""What tests of several folders share: Snakemake as a user calls it, and where the real data lie."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
# Skipped where the real data are absent, but never in CI: there the tests fail without them.
needs_shared_data = pytest.mark.skipif(
    not SHARED.is_dir() and "CI" not in os.environ, reason="the real data are not beside this checkout (../shared/data)"
)


def snakemake(*arguments, directory, root=ROOT, check=True, variables=None):
    """Run Snakemake in `directory` on the workflow in `root`; returns the finished process with its output.

    variables : of the environment, besides those of this process.
    """
    command = [sys.executable, "-m", "snakemake", "-s", str(root / "Snakefile"), "--directory", str(directory)]
    environment = {**os.environ, **(variables or {})}
    run = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, cwd=directory, timeout=3000, env=environment
    )
    if check and run.returncode:
        pytest.fail(f"snakemake {' '.join(map(str, arguments))} failed:\n{run.stdout[-3000:]}\n{run.stderr[-6000:]}")
    return run


def planned(run):
    """Rule → number of jobs, from the job table of a dry run; empty if there is nothing to do."""
    text = run.stdout + run.stderr
    if "Nothing to be done" in text:
        return {}
    lines = text.split("Job stats:")[1].splitlines()
    rows = [line.split() for line in lines[3:]]
    jobs = {}
    for row in rows:
        if len(row) != 2 or row[0] == "total":
            break
        jobs[row[0]] = int(row[1])
    jobs.pop("all", None)
    return jobs
