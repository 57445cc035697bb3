"""The reference of a bundle: what is known of the training cohort, to compare others with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from safetensors.numpy import load_file

from histoweave.apply.measures import Embedding
from histoweave.io import read_table

SUMMARY, GENES, EMBEDDING, CONCEPTS, SCANNERS = (
    "reference/summary.parquet", "reference/genes.parquet", "reference/embedding.safetensors",
    "reference/concepts.parquet", "reference/scanners.parquet",
)  # fmt: skip
# Shares of the training patients between `low` and `high`: of a measure, and of each of many genes or concepts. The median
# of five patients of the same kind leaves the first once in 400 times, of more patients hardly ever.
RANGE, WIDE_RANGE = 0.9, 0.98


def read_embedding(path: Path) -> Embedding:
    """The components of the training patients' mean tile features."""
    return Embedding(**load_file(path))


def read_reference(path: Path, key: str) -> pd.DataFrame:
    """A table of the reference, indexed by `key`."""
    return read_table(path).set_index(key)
