"""The device that networks run on."""

from __future__ import annotations

import torch

from histoweave.errors import InputError


def resolve_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; `cpu` and `cuda` are as they say.

    Raises
    ------
    InputError
        for `cuda` on a machine without it.
    """
    available = torch.cuda.is_available()
    if device == "auto":
        return torch.device("cuda" if available else "cpu")
    if device == "cuda" and not available:
        raise InputError("mechanics.device is 'cuda', but this machine has no CUDA device; use 'auto' or 'cpu'")
    return torch.device(device)
