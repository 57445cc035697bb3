"""Tensors of a .safetensors file that comes from elsewhere."""

from __future__ import annotations

import os
import struct
import zipfile

import safetensors.torch
import torch

from histoweave.errors import InputError
from histoweave.storage.given_files import objection_to

MAX_HEADER_BYTES = 8 << 20
_MAX_RATIO = 4


def read_tensors(path: str | os.PathLike, *, mend: str = "copy it again") -> dict[str, torch.Tensor]:
    """All tensors of a .safetensors file, on the CPU; `mend` says what to do if it is none.

    The file is as large as its tensors, so memory is bounded by its size; its header is looked at first.

    Raises
    ------
    InputError
        naming the file: not there, no file, a Git LFS pointer, cut short, damaged, or of another form.
    """
    if against := objection_to(path):
        raise InputError(f"{path}: {against}")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
        header_bytes = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER_BYTES + 1
        if header_bytes > min(MAX_HEADER_BYTES, os.path.getsize(path)):
            raise ValueError("no header of that form")
        return safetensors.torch.load_file(path)
    except Exception as error:  # a damaged file can fail in any way
        words = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: not a whole safetensors file ({words}); {mend}. A pickled file is not opened under this name"
        ) from None


def objection_to_pickled(path: str | os.PathLike) -> str | None:
    """Why a file of torch.save is not opened, with what to do; None for one that can be.

    Its archive stores tensors as they are: one whose members unpack to more than the file has is made to fill memory.
    """
    if against := objection_to(path):
        return against
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > _MAX_RATIO * os.path.getsize(path) + MAX_HEADER_BYTES:
                return (
                    f"would unpack to {unpacked / 1e9:.1f} GB, more than a file of torch.save holds; use another file"
                )
    except Exception as error:  # a damaged archive can fail in any way
        return f"is no whole file of torch.save ({' '.join(str(error).split())[:200]}); copy it again"
    return None


def not_finite(tensors: dict[str, torch.Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity, None if all numbers are finite."""
    for name, value in sorted(tensors.items()):
        if value.is_floating_point() and not value.isfinite().all():
            return name
    return None
