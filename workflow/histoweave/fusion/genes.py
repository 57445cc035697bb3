"""Gene groups: each group becomes one gene token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

from histoweave.errors import InputError


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Gene sets of a GMT file: one set a line, tab-separated: name, description, genes.

    Raises
    ------
    InputError
        for an unreadable or empty file, a line with fewer than three fields, or a repeated set name.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a GMT file ({error}); check fusion.gene_sets") from None
    sets: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *fields = (field.strip() for field in line.split("\t"))
        genes = [gene for gene in fields[1:] if gene]
        if not name or not genes:
            raise InputError(f"{path}, line {number}: is not a GMT line; write name, description, genes, split by tabs")
        if name in sets:
            raise InputError(f"{path}, line {number}: gene set '{name}' is there twice; rename or drop one")
        sets[name] = genes
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
    owner = {gene: index for index, members in reversed(list(enumerate(sets.values()))) for gene in members}
    groups = np.array([owner.get(gene, len(sets)) for gene in genes])
    if (groups == len(sets)).all():
        raise InputError(
            f"{path}: none of its genes is among the {len(genes)} kept genes; use gene symbols of the RNA table"
        )
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


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
    n_groups = min(n_groups, len(np.unique(profiles, axis=0)))
    labels = KMeans(n_clusters=n_groups, n_init=3, random_state=seed).fit_predict(profiles)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
