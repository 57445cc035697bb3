"""Scanners of a cohort beside those of training: names as the slides' files give them, and what no file tells."""

from __future__ import annotations

import math

import pandas as pd

from histoweave.evaluation.groups import scanner_name

COLUMNS = ("vendor", "model", "share")
UNSEEN = "share of slides from a scanner that training did not have"
# Of the slides whose scanner is known this share may be of another; and of the training slides this share may be unknown.
TOLERATED = 0.1
EVERYWHERE = "all"
_SHOWN = 10


def scanner_shares(slides: pd.DataFrame) -> pd.DataFrame:
    """Share of the usable slides from each scanner, the commonest first: `COLUMNS`; an unknown one has no vendor.

    Parameters
    ----------
    slides : of `cohort/slides.parquet`.
    """
    usable = slides[slides["status"] == "ok"]
    counts = usable.groupby(["scanner_vendor", "scanner_model"]).size().rename("share").reset_index()
    counts["share"] = counts["share"] / len(usable) if len(usable) else 0.0
    counts = counts.set_axis(list(COLUMNS), axis=1)
    return counts.sort_values(["share", "vendor", "model"], ascending=[False, True, True], ignore_index=True)


def named_shares(shares: pd.DataFrame) -> str:
    """`name (share)` of each scanner, for people."""
    names = [scanner_name(vendor, model) for vendor, model in zip(shares["vendor"], shares["model"], strict=True)]
    shown = pd.Series(shares["share"].to_numpy(), index=names).groupby(level=0, sort=False).sum()
    return ", ".join(f"{name} ({share:.0%})" for name, share in shown.items())


def unseen(slides: pd.DataFrame, training: pd.DataFrame) -> pd.Series:
    """Whether each slide's scanner is one that training did not have; None where nobody can tell.

    Nobody can where the slide does not name a maker, or where one of two scanners of the same maker has no model.

    Parameters
    ----------
    slides : with `scanner_vendor`, `scanner_model`. training : of `scanner_shares`.
    """
    models = {vendor: set(part["model"]) for vendor, part in training.groupby("vendor") if vendor}

    def judge(vendor: str, model: str) -> bool | None:
        if not vendor:
            return None
        if vendor not in models:
            return True
        if model in models[vendor]:
            return False
        return None if not model or "" in models[vendor] else True

    judged = [judge(*pair) for pair in zip(slides["scanner_vendor"], slides["scanner_model"], strict=True)]
    return pd.Series(judged, index=slides.index, dtype=object)


def compare_scanners(slides: pd.DataFrame, training: pd.DataFrame | None) -> tuple[float, int, bool, str]:
    """The share of some usable slides from scanners that training did not have, among those of which it can be told.

    Parameters
    ----------
    training : of `scanner_shares`, None for a bundle that does not tell.

    Returns
    -------
    The share (NaN if it can be told of none), patients with such slides, whether it is too large, and the words.
    """
    here = f"scanners here: {named_shares(scanner_shares(slides))}"
    if training is None:
        return math.nan, 0, False, f"unknown: the bundle does not record the scanners of training; {here}"
    there = f"in training: {named_shares(training)}"
    judged = unseen(slides, training)
    told = judged.dropna().astype(bool)
    if told.empty:
        return math.nan, 0, False, f"unknown: the files do not record the scanner; {here}; {there}"
    words = f"{told.sum()} of {len(told)} slides{_named(slides.loc[told.index[told]])}; {there}"
    if len(told) < len(judged):
        words += f"; unknown for {len(judged) - len(told)} more slides"
    share = float(told.mean())
    if share and training.loc[training["vendor"] == "", "share"].sum() > TOLERATED:
        return share, 0, False, f"{words}; not flagged: these scanners may also have been used in training"
    patients = slides.loc[told.index, "patient"].nunique()
    return share, patients, share > TOLERATED, f"{words}; flagged above {TOLERATED:.0%}"


def _named(slides: pd.DataFrame) -> str:
    """`, from name (slides), …` of the commonest scanners; empty without slides."""
    pairs = zip(slides["scanner_vendor"], slides["scanner_model"], strict=True)
    counts = pd.Series([scanner_name(*pair) for pair in pairs], dtype=object).value_counts()
    shown = [f"{name} ({n})" for name, n in counts.head(_SHOWN).items()]
    more = [f"{len(counts) - _SHOWN} others"] if len(counts) > _SHOWN else []
    return f", from {', '.join(shown + more)}" if shown else ""
