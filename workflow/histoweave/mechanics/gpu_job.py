"""What a job with a network begins with: its log, its share of a GPU, its threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from histoweave.mechanics.job import job
from histoweave.mechanics.lease import lease


@contextlib.contextmanager
def gpu_job(smk: Any, *, spins: bool = True) -> Iterator[None]:
    """The body of the script of a rule with the resources `gpu` and `jobs_per_gpu`.

    Torch is imported here, and not before: it looks at devices and at the environment once.

    Parameters
    ----------
    smk : Snakemake's object of the script.
    spins : whether threads of a network that have nothing to do keep their core; False leaves it to threads that read.
    """
    with job(smk):
        if not spins:
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        with lease(smk.resources.gpu, per_device=smk.resources.jobs_per_gpu):
            import torch

            torch.set_num_threads(smk.threads)
            yield
