"""Dry runs, each in a process of its own that has Snakemake imported already: importing it is most of their time."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from running import ROOT

_PROCESSES = multiprocessing.get_context("forkserver")
# Nothing of histoweave: a dry run imports it from the checkout that it is about.
_PROCESSES.set_forkserver_preload(["snakemake.cli", "pandas", "pyarrow.parquet", "pydantic", "h5py"])


def dry_run(*arguments, directory, root=ROOT, variables=None) -> subprocess.CompletedProcess:
    """What `running.snakemake("-n", …)` returns, sooner."""
    command = ["-s", str(root / "Snakefile"), "--directory", str(directory), "-n", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("out", "err")]
        process = _PROCESSES.Process(target=_main, args=(command, str(directory), variables or {}, *map(str, said)))
        process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
            process.join()
        out, err = (file.read_text(encoding="utf-8") if file.exists() else "" for file in said)
    if process.exitcode != 0:
        pytest.fail(f"snakemake {' '.join(command)} failed ({process.exitcode}):\n{out[-3000:]}\n{err[-6000:]}")
    return subprocess.CompletedProcess(command, process.exitcode, out, err)


def _main(command: list[str], directory: str, variables: dict[str, str], out: str, err: str) -> None:
    from snakemake.cli import main

    os.chdir(directory)
    os.environ.update(variables)
    for number, name in ((1, out), (2, err)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["snakemake", *command]
    main()
