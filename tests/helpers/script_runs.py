"""A call of an adapter's `main` as Snakemake calls it, without Snakemake."""

import runpy
from types import SimpleNamespace

from running import ROOT


class Named(dict):
    """Named files of a job, by key and by attribute, as `snakemake.input` has them."""

    __getattr__ = dict.__getitem__


def run(script, **job):
    main = runpy.run_path(str(ROOT / "workflow" / "scripts" / f"{script}.py"))["main"]
    main(SimpleNamespace(**{"threads": 1, **job}))
