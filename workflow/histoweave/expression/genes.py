"""Gene names: the PAM50 genes, and older symbols mapped to current ones."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from histoweave.expression.identifiers import ensembl_in, plain_name

# Parker et al., J Clin Oncol 2009;27:1160, under current HGNC symbols.
PAM50: tuple[str, ...] = (
    "ACTR3B", "ANLN", "BAG1", "BCL2", "BIRC5", "BLVRA", "CCNB1", "CCNE1", "CDC20", "CDC6",
    "CDH3", "CENPF", "CEP55", "CXXC5", "EGFR", "ERBB2", "ESR1", "EXO1", "FGFR4", "FOXA1",
    "FOXC1", "GPR160", "GRB7", "KIF2C", "KRT14", "KRT17", "KRT5", "MAPT", "MDM2", "MELK",
    "MIA", "MKI67", "MLPH", "MMP11", "MYBL2", "MYC", "NAT1", "NDC80", "NUF2", "ORC6",
    "PGR", "PHGDH", "PTTG1", "RRM2", "SFRP1", "SLC39A6", "TMEM45B", "TYMS", "UBE2C", "UBE2T",
)  # fmt: skip


@cache
def _pam50_names() -> dict[str, frozenset[str]]:
    """Each PAM50 gene under all its identifiers, from `pam50.tsv`: symbol, Ensembl gene id, Entrez gene number."""
    with (Path(__file__).parent / "pam50.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {
        row["symbol"]: frozenset([row["symbol"], row["ensembl"], row["entrez"], f"ENTREZ_{row['entrez']}"])
        for row in rows
    }


def missing_pam50(names: Iterable[str]) -> list[str]:
    """Symbols of the PAM50 genes that are not among `names`: symbols, Ensembl ids without version or Entrez numbers."""
    present = set(names)
    return [gene for gene in PAM50 if not _pam50_names()[gene] & present]


@cache
def aliases() -> dict[str, str]:
    """Older symbol → current symbol, from `aliases.tsv` (PAM50 names first, then common HGNC renames)."""
    with (Path(__file__).parent / "aliases.tsv").open(encoding="utf-8", newline="") as file:
        return {row["alias"]: row["symbol"] for row in csv.DictReader(file, delimiter="\t")}


def current_names(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Bring gene names to current symbols, and Ensembl ids to their form without a version.

    `SYMBOL|ENTREZ` becomes `SYMBOL`, `?|ENTREZ` becomes `ENTREZ_<id>` (`identifiers.plain_name`), and an older symbol
    becomes the current one unless the current one is there itself.

    Returns
    -------
    the new names in the same order, and the aliases that were applied (old → new).
    """
    names = [str(name) for name in names]
    plain = [plain_name(name) for name in names]
    ids = [ensembl_in(name) for name in names]
    # `ENSG...|protein_coding`: what stands beside the ids repeats over many of them and is no symbol.
    composite = [at for at, gene in enumerate(ids) if gene and gene != plain[at]]
    if len({plain[at] for at in composite}) * 2 < len({ids[at] for at in composite}):
        for at in composite:
            plain[at] = ids[at]
    present, table, used = set(plain), aliases(), {}
    for name in plain:
        if name in table and table[name] not in present:
            used[name] = table[name]
    return [used.get(name, name) for name in plain], used
