"""Centroids of a user's table, such as published ones: genes in rows, classes in columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from histoweave.errors import InputError, short
from histoweave.expression.converted import refuse_converted
from histoweave.expression.genes import current_names
from histoweave.expression.identifiers import how_to_agree, is_missing
from histoweave.storage.given_files import objection_to
from histoweave.tabular.numbers import parse_numbers
from histoweave.tabular.table import read_table

LEAST_SHARE = 0.5  # of the table's genes that the expression matrix must have


def read_centroids(path: str, classes: Sequence[str]) -> pd.DataFrame:
    """Genes (under current names) × classes (in the given order), float64.

    The genes are the first column, under any heading. Forms of the file: .tsv and .csv, as other tables.

    Raises
    ------
    InputError
        if the file cannot be read, its columns are not the classes, a gene occurs twice or is a date, or a value is
        missing or no number.
    """
    if against := objection_to(path):
        raise InputError(f"{path}: the table of fusion.centroids {against}")
    table = read_table(path, required=())
    first, *columns = table.rows
    if sorted(columns) != sorted(classes):
        raise InputError(
            f"{path}: its columns {_listed(columns)} are not the classes of the cohort, {_listed(classes)}; rename or remove "
            "columns, or map the labels with label_map"
        )
    genes = table.rows[first].to_list()
    refuse_converted(genes, file=path, place=lambda at: f"row {table.numbers[at]}")
    names, _ = current_names(genes)
    values = np.stack(
        [
            parse_numbers(row, where=f"{table.where(at)} ({short(genes[at])})", columns=columns)
            for at, row in enumerate(table.rows[columns].to_numpy())
        ]
    )
    for at, name in enumerate(names):
        if is_missing(name) or name in names[:at]:
            what = "occurs twice; keep one of them" if name in names[:at] else "is no name; name it or remove the row"
            raise InputError(f"{table.where(at)}: gene {short(name)} {what}")
        if not np.isfinite(values[at]).all():
            column = columns[int(np.argmin(np.isfinite(values[at])))]
            raise InputError(f"{table.where(at)}: gene {short(name)} has no number for class {short(column)}; give one")
    return pd.DataFrame(values, index=names, columns=columns)[list(classes)]


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
