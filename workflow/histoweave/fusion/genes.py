"""Gene groups: each group becomes one gene token."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from histoweave.errors import InputError
from histoweave.expression.converted import refuse_converted
from histoweave.expression.genes import aliases
from histoweave.expression.identifiers import how_to_agree, is_missing, plain_name
from histoweave.tabular.table import check_characters
from histoweave.tabular.text import read_text_file

# The whole of MSigDB has 50 MB.
_MOST_BYTES = 512 * 2**20
# Libraries of Enrichr write a weight after each gene.
_WEIGHTED = re.compile(r"(.+),[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Gene sets of a GMT file: one set a line, tab-separated: name, description, genes.

    Each gene is in a set once. Blank lines, empty fields, weights after a comma and the versions of Ensembl ids are
    dropped. Compression and encodings: `tabular.text.read_text_file`.

    Raises
    ------
    InputError
        for an unreadable or empty file, a line with fewer than three fields, a repeated set name, or a gene that a
        spreadsheet has turned into a date.
    """
    sets: dict[str, list[str]] = {}
    lines_of: dict[str, int] = {}
    for number, line in enumerate(read_text_file(path, max_bytes=_MOST_BYTES).lines, start=1):
        if not line.strip():
            continue
        name, *fields = (field.strip().strip('"').strip() for field in line.split("\t"))
        where = f"{path}, line {number}"
        check_characters([name, *fields], where=where)
        genes = [found[1] if (found := _WEIGHTED.fullmatch(gene)) else gene for gene in fields[1:]]
        genes = [gene for gene in genes if not is_missing(gene)]
        if not name or not genes:
            raise InputError(f"{where}: is not a GMT line; write name, description, genes, split by tabs")
        if name in sets:
            raise InputError(
                f"{where}: gene set '{name[:60]}' occurs twice, already in line {lines_of[name]}; rename or drop one"
            )
        refuse_converted(genes, file=str(path), place=f"line {number}".format)
        plain = list(map(plain_name, genes))
        # The RNA's older symbols are brought to current ones, so that a set counts under both.
        sets[name] = list(dict.fromkeys([*plain, *(aliases()[gene] for gene in plain if gene in aliases())]))
        lines_of[name] = number
    if not sets:
        raise InputError(f"{path}: holds no gene set; give a GMT file with at least one line")
    return sets


def groups_from_sets(genes: list[str], sets: dict[str, list[str]], *, path: str) -> np.ndarray:
    """Group of each gene: the first set that holds it; genes of no set form the last group.

    Returns
    -------
    (G,) int64, numbered 0, 1, ... without gaps.

    Raises
    ------
    InputError
        if no set holds any of the genes.
    """
    check_shared(sets, genes, path=path)
    owner = {gene: index for index, members in reversed(list(enumerate(sets.values()))) for gene in members}
    groups = np.array([owner.get(gene, len(sets)) for gene in genes])
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def check_shared(sets: dict[str, list[str]], genes: Collection[str], *, path: str) -> None:
    """
    Raises
    ------
    InputError
        if no set holds any of `genes`, saying which identifiers each side has.
    """
    members = list(dict.fromkeys(gene for genes_of_set in sets.values() for gene in genes_of_set))
    if not set(members) & set(genes):
        raise InputError(
            f"{path}: none of its genes is among the {len(genes)} kept genes; "
            + how_to_agree(genes, members, ours="the RNA table", theirs="the gene sets")
        )


def learned_groups(profiles: np.ndarray, *, n_groups: int, seed: int) -> np.ndarray:
    """Groups of co-expressed genes: k-means on standardised profiles.

    For standardised rows the squared Euclidean distance is 2n(1 - r), r being Pearson's correlation.

    Parameters
    ----------
    profiles : (G,n) float64, a standardised row per gene over the training patients.
    n_groups : at most this many groups.

    Returns
    -------
    (G,) int64, numbered by first appearance, without gaps.
    """
    from sklearn.cluster import KMeans

    n_groups = min(n_groups, len(np.unique(profiles, axis=0)))
    labels = KMeans(n_clusters=n_groups, n_init=3, random_state=seed).fit_predict(profiles)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
