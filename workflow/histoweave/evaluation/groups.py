"""Columns that may stand behind a result: sites, scanners and columns of the patients table, and their levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

SITE, SCANNER = "site", "scanner"
SEVERAL = "several"
# A level of fewer patients has too few to learn it from in a cross-validation.
LEAST_PATIENTS = 5


@dataclass(frozen=True)
class Levels:
    """The levels of a column among some patients.

    Attributes
    ----------
    code : patient → level (int64), of the patients that count. n : levels that count.
    left_out : in words, who does not count; empty if everybody does.
    """

    code: pd.Series
    n: int
    left_out: str


def known_columns(patients: pd.DataFrame, slides: pd.DataFrame | None, *, named: list[str]) -> dict[str, pd.Series]:
    """Name of a column: patient → value (text, None: not known). Columns without any value are left out.

    Parameters
    ----------
    patients : `cohort/patients.parquet`. slides : `cohort/slides.parquet`, None for a cohort without slides.
    named : columns of the patients table. Numbers with more than five values are cut at their terciles, as those of
        the subgroups; sites never are. A column called `scanner` goes before what the slides tell.
    """
    of = patients.set_index("patient")
    found: dict[str, pd.Series] = {}
    if SITE in of:
        found[SITE] = of[SITE].astype(object)
    if slides is not None:
        found[SCANNER] = scanners(slides).reindex(of.index)
    for column in named:
        if column != SITE:
            values = groups(of[column])
            found[column] = values.where(values != NOT_GIVEN, None)
    return {name: values for name, values in found.items() if values.notna().any()}


def scanners(slides: pd.DataFrame) -> pd.Series:
    """Patient → scanner of the usable slides, `several` where they differ; patients of unknown scanners are missing."""
    usable = slides[slides["status"] == "ok"]
    usable = usable[usable["scanner_vendor"] != ""]
    names = pd.Series(
        [scanner_name(*pair) for pair in zip(usable["scanner_vendor"], usable["scanner_model"], strict=True)],
        index=usable.index,
        dtype=object,
    )
    return names.groupby(usable["patient"]).agg(lambda of: of.iloc[0] if of.nunique() == 1 else SEVERAL)


def levels(values: pd.Series, patients: pd.Index) -> Levels:
    """The levels that at least `LEAST_PATIENTS` of these patients have, coded in order of their names."""
    of = values.reindex(patients)
    given = of[of.notna()].astype(str)
    counts = given.value_counts()
    kept = sorted(counts.index[counts >= LEAST_PATIENTS])
    code = given[given.isin(kept)].map({name: place for place, name in enumerate(kept)}).astype(np.int64).sort_index()
    said = []
    if len(given) < len(of):
        said.append(f"{_counted(len(of) - len(given), 'patient')} without a value")
    if len(kept) < len(counts):
        rare = counts[counts < LEAST_PATIENTS]
        said.append(
            f"{_counted(len(rare), 'level')} of fewer than {LEAST_PATIENTS} patients ({_counted(int(rare.sum()), 'patient')})"
        )
    return Levels(code, len(kept), f"left out: {' and '.join(said)}" if said else "")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


UNKNOWN = "unknown"


def scanner_name(vendor: str, model: str) -> str:
    """`vendor model`, as far as they are known; `unknown` without a vendor."""
    return " ".join(filter(None, (vendor, model))) if vendor else UNKNOWN


NOT_GIVEN = "not given"


MAX_CATEGORIES = 5


def groups(values: pd.Series) -> pd.Series:
    """The group of each patient (text). Numbers with more than five distinct values are cut at their terciles;
    everything else is a group per value. Empty is 'not given'."""
    text = values.astype("string").str.strip()
    text = text.where(text.notna() & (text != ""), None)
    given = text[text.notna()]
    numbers = pd.to_numeric(given, errors="coerce")
    if len(given) and numbers.notna().all() and numbers.nunique() > MAX_CATEGORIES:
        text.loc[given.index] = _terciles(numbers)
    return text.fillna(NOT_GIVEN).astype(object)


def _terciles(numbers: pd.Series) -> pd.Series:
    low, high = numbers.quantile([1 / 3, 2 / 3])
    below, above = f"up to {low:g}", f"above {high:g}"
    between = f"above {low:g}, up to {high:g}"
    return pd.Series(np.select([numbers <= low, numbers > high], [below, above], between), index=numbers.index)
