"""Centroids of a user's table, such as published ones: genes in rows, classes in columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from histoweave.errors import InputError, short
from histoweave.expression.converted import refuse_converted
from histoweave.expression.genes import current_names
from histoweave.expression.identifiers import how_to_agree
from histoweave.given_files import objection_to
from histoweave.tabular.matrix import check_unique, read_matrix

LEAST_SHARE = 0.5  # of the table's genes that the expression matrix must have


def read_centroids(path: str, classes: Sequence[str]) -> pd.DataFrame:
    """Genes (under current names) × classes (in the given order), float64.

    Forms of the file: those of expression matrices (`tabular.matrix.read_matrix`).

    Raises
    ------
    InputError
        if the file cannot be read, its columns are not the classes, a gene is there twice or is a date, or a value is
        missing.
    """
    if against := objection_to(path):
        raise InputError(f"{path}: the table of fusion.centroids {against}")
    matrix = read_matrix(path)
    columns = [*matrix.column_names, *matrix.words]
    if sorted(columns) != sorted(classes):
        raise InputError(
            f"{path}: its columns {_listed(columns)} are not the classes of the cohort, {_listed(classes)}; rename or remove "
            "columns, or map the labels with label_map"
        )
    if matrix.words:
        raise InputError(f"{path}: column {short(next(iter(matrix.words)))} holds words; give a number for every gene")
    refuse_converted(matrix.row_names, file=path, place=matrix.row_place)
    names, _ = current_names(matrix.row_names)
    check_unique(names, file=path, what="gene")
    table = pd.DataFrame(matrix.values, index=names, columns=matrix.column_names)
    if (bad := ~np.isfinite(table.to_numpy())).any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{path}: gene {short(names[row])} has no number for class {short(matrix.column_names[column])}; give one or "
            "remove the gene"
        )
    return table[list(classes)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(short, names[:10]))
    return f"{shown}, … ({len(names)})" if len(names) > 10 else shown


def check_genes(centroids: pd.DataFrame, genes: Collection[str], *, path: str) -> None:
    """
    Raises
    ------
    InputError
        if fewer than half of the table's genes are among `genes`, the names of the expression matrix.
    """
    shared = centroids.index.isin(list(genes)).sum()
    if shared < LEAST_SHARE * len(centroids):
        agree = how_to_agree(genes, centroids.index, ours="the RNA table", theirs="the centroids")
        raise InputError(
            f"{path}: {shared} of its {len(centroids)} genes are in the RNA table, and at least half are needed; {agree}"
        )
