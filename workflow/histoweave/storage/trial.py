"""The first reading of somebody else's HDF5 file, in a process of its own.

The HDF5 library can crash on a damaged file, or read one for ever; either would end the other slides of the shard too.
This process reads everything that will be read, and says how that went: a line with a path in, a line of JSON out.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import h5py

from histoweave.storage.datasets import dataset, member
from histoweave.storage.refusal import Refusal

DATASETS = ("coords", "features", "feats", "failed_coords", "tissue_fraction")
READY = "ready"
_BLOCK_BYTES = 1 << 24
_MEMORY_BYTES = 4 << 30  # beyond what the process has before it reads
_LARGEST_ATTRIBUTE = 1 << 20


def read_all(path: str) -> None:
    """Read the attributes and values that tile coordinates, features and embeddings are taken from.

    Raises
    ------
    Refusal
        as `datasets.dataset`. Values that cannot be read are no error here: whoever reads them in earnest says so.
    """
    with h5py.File(path, "r") as file:
        _read_attributes(file)
        with contextlib.suppress(Exception):
            list(file)
        for found in _datasets(file):
            _read_attributes(found)
            _read_rows(found)


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    for name in DATASETS:
        found = member(file, name)
        if isinstance(found, h5py.Group):
            for inner in list(found)[:2]:
                if (within := dataset(found, inner)) is not None:
                    yield within
        elif (found := dataset(file, name)) is not None:
            yield found


def _read_attributes(holder: h5py.File | h5py.Dataset) -> None:
    with contextlib.suppress(Exception):
        for name in list(holder.attrs):
            with contextlib.suppress(Exception):
                if holder.attrs.get_id(name).get_storage_size() <= _LARGEST_ATTRIBUTE:
                    holder.attrs[name]


def _read_rows(found: h5py.Dataset) -> None:
    with contextlib.suppress(Exception):
        plane = found.ndim == 3 and found.shape[0] == 1
        n_rows, row_bytes = found.shape[1 if plane else 0], found.dtype.itemsize * max(1, found.shape[-1])
        step = max(1, _BLOCK_BYTES // row_bytes) if found.ndim > 1 else _BLOCK_BYTES // found.dtype.itemsize
        for start in range(0, n_rows, step):
            with contextlib.suppress(Exception):
                found[(0, slice(start, start + step)) if plane else slice(start, start + step)]


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY_BYTES, now + _MEMORY_BYTES))


def main() -> None:
    """Answer until the input ends."""
    _limit_memory()
    print(READY, flush=True)
    for line in sys.stdin:
        found: dict[str, str] = {}
        path = json.loads(line)
        try:
            read_all(path)
        except Refusal as refusal:
            found = {"status": refusal.status, "reason": refusal.reason}
        except Exception as error:
            found = {"status": "unreadable", "reason": f"{os.path.basename(path)} cannot be read as HDF5: {error}"}
        print(json.dumps(found), flush=True)
