"""What kind of identifier a gene name is, and its plain form: one identifier, without a version."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from histoweave.tabular.missing import MISSING

SYMBOL, ENSEMBL, TRANSCRIPT, ENTREZ, PROBE = (
    "gene symbols", "Ensembl gene ids", "Ensembl transcript ids", "Entrez gene numbers", "microarray probes"
)  # fmt: skip

# ENSG00000141510, ENSMUSG00000059552 (mouse); before GENCODE 25 the copy on Y was ENSGR0000002586.
_GENE = r"ENS[A-Z]{0,4}G(?:\d{11}|R\d{10})"
_VERSION = r"(?:\.\d+)?"
_PAR_Y = r"(?:_PAR_Y)?"
_ENSEMBL = re.compile(rf"({_GENE}){_VERSION}{_PAR_Y}", re.IGNORECASE)
_ENSEMBL_FIRST = re.compile(rf"({_GENE}){_VERSION}{_PAR_Y}[|_;:,/ ]+(.*)", re.IGNORECASE)
_ENSEMBL_LAST = re.compile(rf"(.*?)[|_;:,/ ]+({_GENE}){_VERSION}{_PAR_Y}", re.IGNORECASE)
_ON_Y = re.compile(r"ENSGR\d{10}.*|.*_PAR_Y(?:[|_;:,/ ].*)?", re.IGNORECASE)
_TRANSCRIPT = re.compile(rf"(ENS[A-Z]{{0,4}}T\d{{11}}){_VERSION}{_PAR_Y}", re.IGNORECASE)
_VERSIONED = re.compile(r"(?:.*\W|_)?ENS[A-Z]{0,4}[GT]R?\d{10,11}\.\d+.*", re.IGNORECASE)
_PROBE = re.compile(r"\d+(?:_[a-z]+)?_at|ILMN_\d+|cg\d{8}", re.IGNORECASE)
_LONGEST = 300  # characters; longer names are not searched, so that no file can make the search slow
_NUMBER = re.compile(r"\d+")
_MISSING = MISSING | {"none", "<na>"}


def is_missing(name: str) -> bool:
    """Whether a name says that there is none: blank, signs only, NA in its spellings, or an error of a spreadsheet."""
    name = name.strip()
    return name.lower() in _MISSING or name.startswith("#") or not any(c.isalnum() for c in name)


def is_copy_on_y(name: str) -> bool:
    """Whether an Ensembl id is the copy on Y of a gene of the pseudoautosomal region (`..._PAR_Y`, `ENSGR...`)."""
    return len(name) <= _LONGEST and _ON_Y.fullmatch(name) is not None


def has_version(name: str) -> bool:
    """Whether a name holds an Ensembl id with a version (`ENSG00000141510.18`)."""
    return len(name) <= _LONGEST and _VERSIONED.fullmatch(name) is not None


def plain_name(name: str) -> str:
    """One identifier of a gene, without a version.

    `SYMBOL|ENTREZ`, `ENSG|SYMBOL` and `SYMBOL_ENSG` become the symbol, `?|ENTREZ` and `|ENTREZ` become `ENTREZ_<number>`,
    and an Ensembl id loses its version and the mark of the copy on Y: both copies are one gene. Never empty, unless `name` is.
    """
    name = name.strip()
    if len(name) > _LONGEST:
        return name
    if found := _ENSEMBL.fullmatch(name):
        return _stable(found[1])
    for pattern, gene, other in ((_ENSEMBL_FIRST, 1, 2), (_ENSEMBL_LAST, 2, 1)):
        if found := pattern.fullmatch(name):
            symbol = found[other].strip()
            return _stable(found[gene]) if is_missing(symbol) or kind(symbol) != SYMBOL else symbol
    first, _, second = (part.strip() for part in name.partition("|"))
    if second and (first == "?" or (not first and second.isdecimal())):
        return f"ENTREZ_{second}"
    first = first or second or name
    found = _TRANSCRIPT.fullmatch(first)
    return found[1].upper() if found else first


def ensembl_in(name: str) -> str:
    """The Ensembl gene id of a name that begins or ends with one, without a version; empty if there is none."""
    if len(name) > _LONGEST:
        return ""
    for pattern, gene in ((_ENSEMBL, 1), (_ENSEMBL_FIRST, 1), (_ENSEMBL_LAST, 2)):
        if found := pattern.fullmatch(name.strip()):
            return _stable(found[gene])
    return ""


def _stable(gene: str) -> str:
    gene = gene.upper()
    return gene.replace("ENSGR", "ENSG0") if gene.startswith("ENSGR") else gene


def kind(name: str) -> str:
    """Which kind of identifier a name is: one of the kinds above; what is none of the others counts as a symbol."""
    for what, pattern in ((ENSEMBL, _ENSEMBL), (TRANSCRIPT, _TRANSCRIPT), (ENTREZ, _NUMBER), (PROBE, _PROBE)):
        if pattern.fullmatch(name):
            return what
    return ENTREZ if name.startswith("ENTREZ_") else SYMBOL


def kinds(names: Iterable[str]) -> dict[str, int]:
    """How many of the names are of each kind, the most frequent first."""
    return dict(Counter(map(kind, names)).most_common())


def how_to_agree(names: Iterable[str], others: Iterable[str], *, ours: str, theirs: str) -> str:
    """What to do where `names` (of `ours`) and `others` (of `theirs`) have no gene in common, as words of a message."""
    names, others = list(names), list(others)
    if not names or not others:
        return f"{ours if others else theirs} has no genes"
    kind_of_names, kind_of_others = next(iter(kinds(names))), next(iter(kinds(others)))
    if kind_of_names == kind_of_others:
        return (
            f"{ours} and {theirs} both have {kind_of_names} (such as {names[0]} and {others[0]}): check that they are of "
            "one organism, and under current symbols"
        )
    return (
        f"{ours} has {kind_of_names} (such as {names[0]}), {theirs} {kind_of_others} (such as {others[0]}): give "
        f"{kind_of_others} in {ours}, or {kind_of_names} in {theirs}; no table that maps the ones to the others is built in"
    )
