"""From a file's values to log2 values, sample by sample: nothing here looks across samples, so nothing can leak."""

from __future__ import annotations

import numpy as np
import pandas as pd

FORMULAS = {
    "counts": "log2(1 + 1e6 * count / library size), library size = sum of the sample's counts over all genes",
    "tpm": "log2(1 + TPM)",
    "fpkm": "log2(1 + 1e6 * FPKM / sum of the sample's FPKM), that is log2(1 + TPM)",
    "rsem": "log2(1 + RSEM)",
    "log2": "taken as they are",
}


def merge_genes(values: pd.DataFrame, names: list[str], *, unit: str) -> pd.DataFrame:
    """Rename the columns of `values` (samples × genes) to `names` and merge columns of one name.

    Linear units add up; log2 values are averaged. A merged value is NaN only where all its parts are.
    """
    values = values.set_axis(names, axis=1)
    if not values.columns.has_duplicates:
        return values
    grouped = values.T.groupby(level=0, sort=False)
    return (grouped.mean() if unit == "log2" else grouped.sum(min_count=1)).T


def merged_names(values: pd.DataFrame, names: list[str]) -> dict[str, int]:
    """How many columns of one name there are (the first of each counted too), and whether their values are the same.

    Parameters
    ----------
    values : samples × genes, before they are merged. names : their new names.

    Returns
    -------
    counts under `columns`, `genes`, `genes_with_different_values`.
    """
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)
    repeated = [columns for columns in places.values() if len(columns) > 1]
    array = values.to_numpy(np.float64)
    differ = sum(
        not np.array_equal(array[:, columns], array[:, columns[:1]].repeat(len(columns), axis=1), equal_nan=True)
        for columns in repeated
    )
    return {
        "columns": sum(map(len, repeated)),
        "genes": len(repeated),
        "genes_with_different_values": differ,
    }


def log_normalise(values: pd.DataFrame, *, unit: str) -> pd.DataFrame:
    """Bring `values` (samples × genes, float64, NaN kept) to log2 by the formula of `unit` (see `FORMULAS`).

    Counts: log2 of counts per million plus one (edgeR's CPM, Robinson et al., Bioinformatics 2010;26:139, without its
    prior count). FPKM: to TPM first (Li & Dewey, BMC Bioinformatics 2011;12:323).
    """
    if unit == "log2":
        return values
    if unit in ("counts", "fpkm"):
        total = values.sum(axis=1, skipna=True)
        values = values.mul(1e6 / total.where(total > 0), axis=0)
    raised = values + 1.0
    del values  # the scaled counts: one copy less in memory while logarithms are taken
    array = raised.to_numpy()
    return pd.DataFrame(np.log2(array, out=array), raised.index, raised.columns)
