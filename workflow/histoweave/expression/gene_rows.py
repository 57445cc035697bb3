"""Rows of an expression matrix that are no genes: counters, totals, columns about genes or patients, spike-ins.

None of them counts as a gene or into a library size, and each that was left out is named in the report.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.expression.converted import refuse_converted
from histoweave.expression.identifiers import ENSEMBL, ENTREZ, is_copy_on_y, is_missing, kind, plain_name
from histoweave.tabular.numbers import NUMBER
from histoweave.tabular.table import check_characters

# Why a row is no gene, as the report says it.
NO_NAME = "no name"
COUNTER = "reads that the counting tool gave to no gene (STAR, HTSeq, featureCounts)"
TOTAL = "a total or a mean over genes"
ABOUT_GENES = "describes the genes"
ABOUT_PATIENTS = "describes the patients or their samples"
CONTROL = "a control that was added in the laboratory (ERCC, SIRV, PhiX, AFFX)"
SUM_OF_ALL = "in every sample the sum of all other rows"
COPY_ON_Y = "the copy on Y of a gene that is there: logarithms cannot be added"

_CONTROL = re.compile(r"ERCC[-._]\d{5}|SIRV\d+|phi-?x(?:174)?|AFFX[-_].*", re.IGNORECASE)
_COUNTER = re.compile(r"x?_*(?:n_)?(?:{})|(?:un)?assigned(?:_.*)?".format("|".join((
    "unmapped", "multimapping", "multimapped", "no_?features?", "ambiguous", "too_low_aqual", "not_aligned",
    "alignment_not_unique",
))))  # fmt: skip

_NAMES_OF_GENES = (
    "gene_name", "gene_symbol", "gene", "genes", "hgnc_symbol", "symbol", "hugo_symbol", "external_gene_name", "genename", "genesymbol"
)  # fmt: skip

# A sum of all others is taken for a total only where chance cannot make one: of some genes in several samples, or of
# many genes in any number, so that a cohort of one patient is read like the one that the models were fitted on.
_SOME_GENES, _SEVERAL_SAMPLES, _MANY_GENES = 10, 3, 100
_ROUNDING = 1e-4
_LISTED = 20


@dataclass(frozen=True)
class Genes:
    """Expression values of genes alone.

    Attributes
    ----------
    values : samples × genes; names without blanks around them, otherwise as written; may repeat.
    left_out : reason → what was left out for it, by its name (or its place, where it has none).
    names_from : the column of the file that the names came from, empty for its first.
    """

    values: pd.DataFrame
    left_out: dict[str, list[str]]
    names_from: str = ""


@cache
def _words() -> dict[str, str]:
    """Name as `_key` writes it → why it is no gene, from `not_genes.tsv`.

    None is a symbol of HGNC: MAX, SET, REST and the like are genes and not among them.
    """
    reasons = {"total": TOTAL, "about genes": ABOUT_GENES, "about patients": ABOUT_PATIENTS}
    with (Path(__file__).parent / "not_genes.tsv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: reasons[row["what"]] for row in csv.DictReader(file, delimiter="\t")}


def _key(name: str) -> str:
    """A name in lower case, its words joined by `_`."""
    return re.sub(r"[^\w?]+", "_", name.strip().lower()).strip("_")


def reason_of(name: str) -> str:
    """Why a row of that name is no gene; empty if it may be one."""
    if is_missing(name):
        return NO_NAME
    name = name.strip()
    key = _key(name)
    if name.startswith("_") or _COUNTER.fullmatch(key):
        return COUNTER
    if key in _words():
        return _words()[key]
    return CONTROL if _CONTROL.fullmatch(name) else ""


def split_gene_rows(names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Tell genes from other rows, by their names.

    Returns
    -------
    (G,) bool, True for a gene; and of each name why it is no gene, empty for a gene.
    """
    reasons = [reason_of(name) for name in names]
    return np.array([not reason for reason in reasons], dtype=bool), reasons


def describes(name: str) -> bool:
    """Whether a column of that name is about genes or patients, so that it may hold words."""
    return _words().get(_key(name)) in (ABOUT_GENES, ABOUT_PATIENTS)


def keep_genes(
    values: pd.DataFrame,
    *,
    words: Mapping[str, list[str]] = MappingProxyType({}),
    words_of_genes: bool = True,
    patients: set[str],
    file: str,
    place: Callable[[int], str],
) -> Genes:
    """Leave out what is no gene, and refuse symbols that a spreadsheet has converted.

    Parameters
    ----------
    values : samples × genes, float64; beside samples there may be columns about the genes.
    words : columns of the file that hold words, by heading: a word per gene (`words_of_genes`) or per sample.
    patients : ids of the patients table; a sample of such a name is always a sample.
    place : where the gene of that index stands in the file, such as `row 17`.

    Raises
    ------
    InputError
        for a converted symbol, a column of words that is not about genes or patients, or where no gene is left.
    """
    left_out: dict[str, list[str]] = {}
    for heading, given in words.items():
        if not describes(heading) or heading in patients:
            example = next((word for word in given if word and not NUMBER.fullmatch(word)), "")
            raise InputError(
                f"{file}: column '{heading[:60]}' holds words (such as '{example[:60]}') and no values; remove the column"
            )
        left_out.setdefault(_words()[_key(heading)], []).append(heading)
    values, about = _without_columns_about_genes(values, patients)
    for name in about:
        left_out.setdefault(ABOUT_GENES, []).append(name)
    about = {**about, **words} if words_of_genes else about
    names, names_from = _names([str(name).strip() for name in values.columns], about)
    check_characters(names, where=f"{file}, names of genes")
    is_gene, reasons = split_gene_rows(names)
    for index, reason in enumerate(reasons):
        if reason:
            left_out.setdefault(reason, []).append(place(index) if reason == NO_NAME else names[index])
    refuse_converted([name if kept else "" for name, kept in zip(names, is_gene, strict=True)], file=file, place=place)
    if not is_gene.any():
        raise InputError(
            f"{file}: none of its {len(names)} rows is a gene (the first is '{names[0] if names else ''}'); "
            "give a matrix of genes and samples"
        )
    # A matrix of genes alone stays as it is in memory: sums depend in their last bit on how it lies there.
    if not is_gene.all():
        values = values.loc[:, is_gene]
    kept = [name for name, gene in zip(names, is_gene, strict=True) if gene]
    if kept != list(values.columns):
        values = values.set_axis(kept, axis=1)
    return Genes(values, left_out, names_from)


def _without_columns_about_genes(values: pd.DataFrame, patients: set[str]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    about = [str(name) not in patients and _words().get(_key(str(name))) == ABOUT_GENES for name in values.index]
    if not any(about):
        return values, {}
    columns = values.loc[about]
    return values.loc[[not flag for flag in about]], {
        str(name): ["" if np.isnan(value) else f"{value:.15g}" for value in row]
        for name, row in zip(columns.index, columns.to_numpy(np.float64), strict=True)
    }


def _names(names: list[str], about: Mapping[str, list[str]]) -> tuple[list[str], str]:
    """Names of the genes: symbols of a column of its own, where the first column holds Ensembl ids or numbers.

    Numbers may be Entrez genes or numbers of lines: beside a column of symbols both are no names.
    """
    if about and sum(kind(plain_name(name)) in (ENSEMBL, ENTREZ) for name in names) * 2 > len(names):
        headings = {_key(heading): heading for heading in about}
        for wanted in _NAMES_OF_GENES:
            if wanted in headings:
                symbols = [symbol.strip() for symbol in about[headings[wanted]]]
                named = [name if is_missing(symbol) else symbol for name, symbol in zip(names, symbols, strict=True)]
                return named, headings[wanted]
    return names, ""


def without_totals(values: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out rows that are the sum of all others in every sample, whatever they are called.

    Parameters
    ----------
    values : samples × genes, float64, a linear unit.

    Returns
    -------
    the others, and the names of what was left out.
    """
    names = []
    while values.shape[1] > _SOME_GENES:
        sums = np.nansum(values.to_numpy(np.float64), axis=1)
        seen = sums > 0
        if seen.sum() < (1 if values.shape[1] > _MANY_GENES else _SEVERAL_SAMPLES):
            break
        # A total is the largest of its sample.
        largest = int(np.nanargmax(np.nan_to_num(values.iloc[np.flatnonzero(seen)[0]].to_numpy(np.float64), nan=-1)))
        share = values.iloc[:, largest].to_numpy(np.float64)[seen] / sums[seen]
        if not (np.abs(share - 0.5) <= _ROUNDING).all():
            break
        names.append(str(values.columns[largest]))
        values = values.iloc[:, [i for i in range(values.shape[1]) if i != largest]]
    return values, names


def without_copies_on_y(values: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out `..._PAR_Y` genes whose copy on X is there: for log values, which cannot be added as counts are.

    Returns
    -------
    the others, and the names of what was left out.
    """
    names = [str(name) for name in values.columns]
    on_y = [is_copy_on_y(name) for name in names]
    if not any(on_y):
        return values, []
    on_x = {plain_name(name) for name, copy in zip(names, on_y, strict=True) if not copy}
    dropped = [copy and plain_name(name) in on_x for name, copy in zip(names, on_y, strict=True)]
    return values.loc[:, [not drop for drop in dropped]], [n for n, drop in zip(names, dropped, strict=True) if drop]


def listed(left_out: dict[str, list[str]]) -> dict[str, list[str]]:
    """`left_out` for a report: names once and in order, the first twenty of each reason and how many more there are."""
    short = {}
    for reason, names in left_out.items():
        unique = list(dict.fromkeys(names))
        more = [f"and {len(unique) - _LISTED} more"] if len(unique) > _LISTED else []
        short[reason] = unique[:_LISTED] + more
    return short
