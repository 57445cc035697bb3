"""The same numbers in every run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def deterministic(seed: int, *, device: str) -> Iterator[None]:
    """Seeded torch, deterministic kernels, one CPU thread while the block runs (sums depend on the thread count)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    # On a GPU an operation without a deterministic kernel warns in the log and runs.
    # Unlike torch.use_deterministic_algorithms this does not import the compiler, which takes 2 s.
    torch.set_deterministic_debug_mode("error" if device == "cpu" else "warn")
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.set_num_threads(threads)
