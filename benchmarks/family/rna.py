"""Bulk RNA of the family: log-normal pathways, a composition effect, Poisson noise at a fixed depth per sample."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .members import Member
from .patients import strengths

_PATHWAYS = 25
_GENES_PER_PATHWAY = 30
_FACTOR_GENES = 40
_FACTOR_LOG2 = 1.3  # mean change of a gene that the RNA factor moves, at strength 1
_RESIDUAL_LOG2 = 0.45
_SITE_LOG2 = 0.15  # standard deviation between sites, gene by gene
_READS_PER_GENE = 400
_SITE_DEPTH = 4.0  # in the kind `site`: largest depth of a site over the smallest, each site having its own


def draw_counts(patients: pd.DataFrame, member: Member) -> pd.DataFrame:
    """Counts, genes × patients (int64), indexed by `gene`.

    Total counts are fixed before genes are drawn, so a gene that rises takes reads from all others.
    """
    rng = np.random.default_rng([member.seed, 2])
    n, n_genes = len(patients), member.n_genes
    base = rng.gamma(1.2, 1.0, n_genes) + 0.02
    log2 = np.zeros((n, n_genes))
    for _ in range(_PATHWAYS):
        genes = rng.choice(n_genes, min(_GENES_PER_PATHWAY, n_genes), replace=False)
        log2[:, genes] += np.outer(rng.normal(0, 0.6, n), rng.normal(0, 1, len(genes)))
    moved = rng.choice(n_genes, min(_FACTOR_GENES, n_genes), replace=False)
    direction = rng.choice([-1.0, 1.0], len(moved)) * rng.uniform(0.6, 1.4, len(moved))
    carried = patients["rna"].to_numpy(dtype=float) * rng.normal(1, 0.15, n)
    log2[:, moved] += np.outer(carried, strengths(member) * _FACTOR_LOG2 * direction)
    names = sorted(patients["site"].unique())
    shift = dict(zip(names, rng.normal(0, _SITE_LOG2, (len(names), n_genes)), strict=True))
    log2 += np.stack([shift[site] for site in patients["site"]])
    log2 += rng.normal(0, _RESIDUAL_LOG2, log2.shape)
    share = base * 2**log2
    share /= share.sum(axis=1, keepdims=True)
    depth = _READS_PER_GENE * n_genes * rng.uniform(0.6, 1.6, n)
    if member.kind == "site":
        of_site = dict(zip(names, _SITE_DEPTH ** rng.uniform(-0.5, 0.5, len(names)), strict=True))
        depth = depth * patients["site"].map(of_site).to_numpy()
    counts = rng.poisson(share * depth[:, None])
    index = pd.Index([f"GENE{number:05d}" for number in range(n_genes)], name="gene")
    return pd.DataFrame(counts.T, index=index, columns=list(patients["patient"]))
