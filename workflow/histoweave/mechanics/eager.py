"""Optimisers of torch without its compiler, which nothing here uses."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)


def eager(optimiser: type[Kind]) -> type[Kind]:
    """The same optimiser, to the bit, which does not import the compiler: one to two seconds of every job that fits.

    torch hides some methods from its compiler by wrapping them, and the wrappers import it when they are first called.
    """
    bare = {name: inspect.unwrap(getattr(optimiser, name)) for name in ("add_param_group", "zero_grad")}
    step = torch.no_grad()(inspect.unwrap(optimiser.step))  # what its wrapper does besides
    return type(f"Eager{optimiser.__name__}", (optimiser,), {**bare, "step": step})
