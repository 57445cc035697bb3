"""The reference of a bundle: what is known of the training cohort, to compare others with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from histoweave.apply import manifest
from histoweave.apply.align import LEVELS
from histoweave.apply.measures import Embedding
from histoweave.errors import InputError
from histoweave.storage.given_tables import Kind, read_given_table
from histoweave.storage.tensors import not_finite, read_tensors

SUMMARY, EMBEDDING = manifest.SUMMARY, manifest.EMBEDDING
GENES, CONCEPTS, SCANNERS = "reference/genes.parquet", "reference/concepts.parquet", "reference/scanners.parquet"
QUANTILES = "reference/gene_quantiles.parquet"
FEATURES = "reference/features.parquet"  # bundles made before images were judged lack it
_RANGE: dict[str, Kind] = {"low": "measure", "median": "measure", "high": "measure"}
_COLUMNS: dict[str, dict[str, Kind]] = {
    SUMMARY: {"modality": "text", "feature": "text", **_RANGE},
    GENES: {"gene": "text", **_RANGE, "lower": "measure", "upper": "measure", "mean": "measure", "sd": "measure"},
    QUANTILES: {"gene": "text", "quantiles": "numbers"},
    CONCEPTS: {"concept": "text", **_RANGE},
    FEATURES: {"feature": "text", **_RANGE},
    SCANNERS: {"vendor": "text", "model": "text", "share": "number"},
}
_KEYS = {SUMMARY: "feature", GENES: "gene", QUANTILES: "gene", CONCEPTS: "concept", FEATURES: "feature"}
_MEND = "copy the bundle again"
# Shares of the training patients between `low` and `high`: of a measure, and of each of many genes or concepts. The median
# of five patients of the same kind leaves the first once in 400 times, of more patients hardly ever.
RANGE, WIDE_RANGE = 0.9, 0.98


def read_embedding(path: Path, *, dim: int) -> Embedding:
    """The components of the training patients' mean tile features, of length `dim`.

    Raises
    ------
    InputError
        if the file is damaged, its tensors do not fit together, or a value is not finite.
    """
    tensors = read_tensors(path, mend=_MEND)
    n = tensors["scale"].numel() if "scale" in tensors else 0
    shapes = {"mean": (dim,), "loadings": (dim, n), "scale": (n,)}
    if {name: tuple(value.shape) for name, value in tensors.items()} != shapes or not n:
        raise InputError(f"{path}: does not hold components of features of {dim} values; {_MEND}")
    if any(value.dtype != torch.float64 for value in tensors.values()) or not_finite(tensors) is not None:
        raise InputError(f"{path}: holds NaN, infinity or numbers of another format; {_MEND}")
    if not (tensors["scale"] > 0).all():
        raise InputError(f"{path}: 'scale' is not above 0; {_MEND}")
    return Embedding(**{name: value.numpy() for name, value in tensors.items()})


def read_features(folder: Path, *, dim: int) -> pd.DataFrame:
    """The training range of each of `dim` values of the mean tile feature, indexed by their numbers as text.

    Raises
    ------
    InputError
        if the member is damaged, or does not have every value once.
    """
    table = read_reference(folder, FEATURES)
    if set(table.index) != set(map(str, range(dim))):
        raise InputError(f"{folder / FEATURES}: does not hold the ranges of features of {dim} values; {_MEND}")
    return table


def read_reference(folder: Path, member: str) -> pd.DataFrame:
    """A table of the reference, indexed by its key where it has one; values in the order of the file.

    Raises
    ------
    InputError
        if the member is damaged, lacks a column, or has a key twice or a range upside down.
    """
    table = read_given_table(folder / member, _COLUMNS[member], mend=_MEND)
    key = _KEYS.get(member)
    if key is None:
        return table
    if table[key].duplicated().any():
        raise InputError(
            f"{folder / member}: {key} '{table[key][table[key].duplicated()].iloc[0]:.80}' occurs twice; {_MEND}"
        )
    for low, high in (("low", "median"), ("median", "high"), ("lower", "upper")):
        if low in table and (table[low] > table[high]).any():
            raise InputError(f"{folder / member}: '{low}' is above '{high}'; {_MEND}")
    return table.set_index(key)


def read_quantiles(folder: Path) -> pd.DataFrame:
    """genes × `align.LEVELS`: each gene's quantiles over the training patients, float64.

    Raises
    ------
    InputError
        if the member is damaged, or a gene has other quantiles than as many finite, ascending ones.
    """
    table = read_reference(folder, QUANTILES)["quantiles"]
    for gene, values in table.items():
        if len(values) != len(LEVELS) or not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise InputError(
                f"{folder / QUANTILES}: gene '{gene:.80}' does not have {len(LEVELS)} ascending quantiles; {_MEND}"
            )
    return pd.DataFrame(np.stack(table.to_list()) if len(table) else np.empty((0, len(LEVELS))), index=table.index)
