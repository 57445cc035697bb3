"""Which genes, gene sets or concepts drive a class: attributions averaged over the patients of the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import bootstrap, interval

# A gene that reached the models of fewer of the class's patients says more of the filter than of the class.
MIN_SHARE = 0.5
LEADING_GENES = 10


def matrix(genes: pd.DataFrame, column: str) -> pd.DataFrame:
    """Patients × genes of an attribution, NaN where the gene did not reach the patient's model."""
    return genes.pivot(index="patient", columns="gene", values=column).sort_index(axis=1)


def weighted_means(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A statistic for `bootstrap`: the mean of each column of (n,K) over the patients in whom it is not NaN."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights @ known
        return np.divide(weights @ filled, total, out=np.full(total.shape, np.nan), where=total > 0)

    return statistic


def class_means(values: pd.DataFrame, *, draws: int, confidence: float, seed: int) -> pd.DataFrame:
    """Mean attribution of each column over patients, with its interval, the largest magnitude first.

    Parameters
    ----------
    values : patients × things, attributions for one class of the patients who have that class (by their label, so
        that wrong calls do not blur it); NaN where a thing did not reach the patient's model. Things that reached
        fewer than half of the patients are left out.
    draws, confidence, seed : of the bootstrap over patients.

    Returns
    -------
    Index as the columns of `values`: `mean`, `ci_low`, `ci_high`, `rank` (1: largest |mean|), `n` (patients).
    """
    n = values.notna().sum()
    values = values.loc[:, (n > 0) & (n >= MIN_SHARE * len(values))]
    columns = {"mean": float, "ci_low": float, "ci_high": float, "rank": "int64", "n": "int64"}
    if values.empty:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    mean, drawn = bootstrap(weighted_means(values.to_numpy()), len(values), draws=draws, seed=seed)
    low, high = interval(drawn, confidence=confidence)
    table = pd.DataFrame({"mean": mean, "ci_low": low, "ci_high": high, "n": n[values.columns]}, index=values.columns)
    table = table.sort_values("mean", key=lambda means: -means.abs(), kind="stable")
    table.insert(3, "rank", np.arange(1, len(table) + 1))
    return table.astype(columns)


def gene_table(genes: pd.DataFrame, labels: pd.Series, classes: list[str], **bootstrap_of: Any) -> pd.DataFrame:
    """`genes.parquet`: `class`, `gene`, and the columns of `class_means`.

    genes : `patient`, `gene`, `a_<class>` of all folds. labels : class of each patient.
    """
    parts = []
    for name in classes:
        own = genes[genes["patient"].map(labels) == name]
        table = class_means(matrix(own, f"a_{name}"), **bootstrap_of)
        parts.append(table.rename_axis("gene").reset_index().assign(**{"class": name}))
    return _class_first(parts)


def gene_set_sums(genes: pd.DataFrame, sets: Mapping[str, list[str]], column: str) -> pd.DataFrame:
    """Patients × gene sets: an attribution summed over the genes of each set; sets that no model read are left out."""
    values = matrix(genes, column).fillna(0.0)
    read = {name: values.columns.intersection(members) for name, members in sets.items()}
    return pd.DataFrame({name: values[members].sum(axis=1) for name, members in read.items() if len(members)})


def gene_set_table(
    genes: pd.DataFrame,
    gene_means: pd.DataFrame,
    labels: pd.Series,
    sets: Mapping[str, list[str]],
    classes: list[str],
    **bootstrap_of: Any,
) -> pd.DataFrame:
    """`gene_sets.parquet`: `class`, `gene_set`, `genes` (the leading ones), `mean`, …, `rank`, `n_genes`, `n`.

    gene_means : as `gene_table` returns it, for the order of the genes in a set.
    """
    read = set(genes["gene"])
    parts = []
    for name in classes:
        sums = gene_set_sums(genes[genes["patient"].map(labels) == name], sets, f"a_{name}")
        table = class_means(sums, **bootstrap_of).rename_axis("gene_set").reset_index()
        ranked = gene_means.loc[gene_means["class"] == name, "gene"]
        leading = [ranked[ranked.isin(sets[s])].head(LEADING_GENES) for s in table["gene_set"]]
        table.insert(1, "genes", pd.Series(["; ".join(top) for top in leading], dtype=object))
        table.insert(6, "n_genes", pd.Series([len(read & set(sets[s])) for s in table["gene_set"]], dtype="int64"))
        parts.append(table.assign(**{"class": name}))
    return _class_first(parts)


def learned_sets(genes: pd.DataFrame) -> dict[str, list[str]]:
    """The gene tokens of one fold as gene sets, `group 0`, `group 1`, …: each fold groups its genes anew.

    genes : `gene`, `token` of that fold.
    """
    tokens = genes.drop_duplicates("gene").groupby("token")["gene"]
    return {f"group {token}": sorted(members) for token, members in tokens if token >= 0}


def _class_first(parts: list[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True)
    return table[["class", *(column for column in table if column != "class")]]
