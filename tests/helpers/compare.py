"""Whether two runs gave the same results: every table, array and weight, by value."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from histoweave.storage.files import read_table


def _of_table(table):
    return {str(name): table[name].to_numpy() for name in table}


def _of_hdf5(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, node: found.update({name: node[()]} if isinstance(node, h5py.Dataset) else {}))
    return found


READERS = {
    ".parquet": lambda path: _of_table(read_table(path)),
    ".tsv": lambda path: _of_table(pd.read_csv(path, sep="\t")),
    ".h5": _of_hdf5,
    ".safetensors": load_file,
}


def tables(results: Path):
    """Relative paths of all files with values that count; how long jobs took does not."""
    found = {path.relative_to(results) for path in results.rglob("*") if path.suffix in READERS}
    return {path for path in found if not {"benchmarks", "logs"} & set(path.parts)}


def difference(one: Path, other: Path):
    """0 if two files hold the same values bit for bit, else the largest difference; infinite if it is no number's."""
    a, b = (READERS[path.suffix](path) for path in (one, other))
    if list(a) != list(b):
        return np.inf
    return max((_difference(np.asarray(a[name]), np.asarray(b[name])) for name in a), default=0.0)


def _difference(a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    if a.dtype == object:
        return 0.0 if all(map(_same, a.ravel(), b.ravel())) else np.inf
    if a.tobytes() == b.tobytes() or a.size == 0:
        return 0.0
    if not np.issubdtype(a.dtype, np.floating) or (np.isnan(a) != np.isnan(b)).any():
        return np.inf
    return float(np.nanmax(np.abs(a.astype(float) - b.astype(float))))


def _same(a, b):
    """Whether two values of a column are the same, lists and structures included."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray | list):
        return isinstance(b, type(a)) and len(a) == len(b) and all(map(_same, a, b))
    return a == b or (pd.isna(a) and pd.isna(b))
