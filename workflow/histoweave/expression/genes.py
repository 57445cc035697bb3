"""Gene names: the PAM50 genes, and older symbols mapped to current ones."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# Parker et al., J Clin Oncol 2009;27:1160, under current HGNC symbols.
PAM50: tuple[str, ...] = (
    "ACTR3B", "ANLN", "BAG1", "BCL2", "BIRC5", "BLVRA", "CCNB1", "CCNE1", "CDC20", "CDC6",
    "CDH3", "CENPF", "CEP55", "CXXC5", "EGFR", "ERBB2", "ESR1", "EXO1", "FGFR4", "FOXA1",
    "FOXC1", "GPR160", "GRB7", "KIF2C", "KRT14", "KRT17", "KRT5", "MAPT", "MDM2", "MELK",
    "MIA", "MKI67", "MLPH", "MMP11", "MYBL2", "MYC", "NAT1", "NDC80", "NUF2", "ORC6",
    "PGR", "PHGDH", "PTTG1", "RRM2", "SFRP1", "SLC39A6", "TMEM45B", "TYMS", "UBE2C", "UBE2T",
)  # fmt: skip


@cache
def aliases() -> dict[str, str]:
    """Older symbol → current symbol, from `aliases.tsv` (PAM50 names first, then common HGNC renames)."""
    with (Path(__file__).parent / "aliases.tsv").open(encoding="utf-8", newline="") as file:
        return {row["alias"]: row["symbol"] for row in csv.DictReader(file, delimiter="\t")}


def current_names(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Bring gene names to current symbols.

    `SYMBOL|ENTREZ` becomes `SYMBOL`, `?|ENTREZ` becomes `ENTREZ_<id>`, and an older symbol becomes the current one
    unless the current one is there itself.

    Returns
    -------
    the new names in the same order, and the aliases that were applied (old → new).
    """
    plain = []
    for name in names:
        symbol, _, entrez = str(name).partition("|")
        plain.append(f"ENTREZ_{entrez}" if symbol == "?" and entrez else symbol)
    present, table, used = set(plain), aliases(), {}
    for name in plain:
        if name in table and table[name] not in present:
            used[name] = table[name]
    return [used.get(name, name) for name in plain], used
