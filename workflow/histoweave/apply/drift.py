"""How far a cohort lies from training: medians over the patients of a site, held against the training patients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import betainc

from histoweave.apply import reference
from histoweave.apply.measures import (
    OVERRIDE,
    concept_measures,
    expression_measures,
    image_measures,
    slide_measures,
)
from histoweave.apply.read import Bundle
from histoweave.apply.scanners import EVERYWHERE, TOLERATED, UNSEEN, compare_scanners
from histoweave.sae import format

COLUMNS = ("modality", "feature", "site", "value", "reference_low", "reference_high", "flagged", "says")
OUTSIDE_GENES, OUTSIDE_CONCEPTS = "share of genes outside the training range", "share of concepts outside the range"
OUTSIDE_HALF = "share of genes outside the middle half of training"
# The range holds 98 % of the training patients, so that one more of their kind would show 2 %, and a median less.
EXPECTED_OUTSIDE = 0.02
# Medians of many patients lie in the middle half unless something is different; another mix of patients moves some.
TOLERATED_HALF = 0.2
MIN_PATIENTS = 5
_SHOWN = 10
_TOLERANCE = 1e-3  # relative: spacings are rounded in slides


def drift(
    bundle: Bundle,
    *,
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    totals: pd.Series,
    comparable: set[str],
    means: pd.DataFrame | None,
) -> pd.DataFrame:
    """Compare a cohort with the training cohort of a bundle: `COLUMNS` of docs/artefacts.md.

    A value is the median over a site's patients; it is flagged if it lies outside the range that holds 90 % of the
    training patients. Of scanners it is a share of the slides, NaN if it cannot be told. Sites of fewer than five
    patients are shown, never flagged.

    Parameters
    ----------
    patients : `patient`, `site` (None: unknown).
    slides : of `cohort/slides.parquet`. expression : patients × genes, log2, or None.
    totals : patient → sum of the sample's values.
    comparable : modalities whose values mean the same in both cohorts: `image`, `expression`.
    means : of `patient_means`, None without comparable features.
    """
    site = patients.set_index("patient")["site"]
    rows: list[dict] = []
    summary = reference.read_reference(bundle.folder, reference.SUMMARY)
    usable = slides["status"].eq("ok").any()
    for modality, table in _measured(bundle, slides, expression, totals, comparable, means):
        known = summary[summary["modality"] == modality]
        for name, members in _sites(table.index, site):
            for feature in known.index.intersection(table.columns, sort=False):
                values = table.loc[members, feature].dropna()
                if len(values):
                    rows.append(_row(modality, feature, name, values, known.loc[feature, ["low", "high"]]))
    if usable:
        rows += _scanners(bundle, slides, site)
    if expression is not None and "expression" in comparable and bundle.has(reference.GENES):
        genes = reference.read_reference(bundle.folder, reference.GENES)
        rows += _outside("expression", OUTSIDE_GENES, expression, genes[["low", "high"]], site)
        rows += _outside("expression", OUTSIDE_HALF, expression, genes[["lower", "upper"]], site)
    if usable and "image" in comparable and bundle.has(reference.CONCEPTS):
        concepts = reference.read_reference(bundle.folder, reference.CONCEPTS)
        fired = concept_measures(slides, format.load(bundle.folder / "sae"))
        rows += _outside("concepts", OUTSIDE_CONCEPTS, fired, concepts[["low", "high"]], site)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"flagged": bool})


def _measured(
    bundle: Bundle,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    totals: pd.Series,
    comparable: set[str],
    means: pd.DataFrame | None,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The measures of each modality that both cohorts have."""
    if slides["status"].eq("ok").any():
        yield "slides", slide_measures(slides)
        if means is not None and bundle.has(reference.EMBEDDING):
            assert bundle.manifest.encoder is not None
            embedding = reference.read_embedding(bundle.path(reference.EMBEDDING), dim=bundle.manifest.encoder.dim)
            yield "image", image_measures(means, embedding)
    if expression is not None and "expression" in comparable and bundle.has(reference.GENES):
        genes = reference.read_reference(bundle.folder, reference.GENES)
        yield "expression", expression_measures(expression, genes, totals)


def _sites(ids: pd.Index, site: pd.Series) -> Iterator[tuple[str, list[str]]]:
    """Everybody, then the patients of each site, where there are several."""
    yield EVERYWHERE, list(ids)
    known = site.reindex(ids).dropna()
    if known.nunique() > 1:
        for name, part in known.groupby(known):
            yield str(name), list(part.index)


def _row(modality: str, feature: str, site: str, values: pd.Series, limits: pd.Series) -> dict:
    share = feature == OVERRIDE  # a share over the site's patients; of all others the median patient counts
    value = float(values.mean() if share else values.median())
    low, high = float(limits["low"]), float(limits["high"])
    slack = _TOLERANCE * max(abs(low), abs(high))
    outside = not low - slack <= value <= high + slack
    words = f"median {value:.4g}; {reference.RANGE:.0%} of the training patients lie between {low:.4g} and {high:.4g}"
    if share:
        words = f"{value:.0%} of the spacings; flagged outside {low:.0%} to {high:.0%}"
    return _judged(modality, feature, site, value, low, high, outside, words, n=len(values))


def _scanners(bundle: Bundle, slides: pd.DataFrame, site: pd.Series) -> list[dict]:
    """How many slides come from scanners that training did not have; NaN, and never flagged, where nobody can tell."""
    training = reference.read_reference(bundle.folder, reference.SCANNERS) if bundle.has(reference.SCANNERS) else None
    usable = slides[slides["status"] == "ok"]
    rows = []
    for place, members in _sites(pd.Index(usable["patient"].unique()), site):
        share, n, outside, words = compare_scanners(usable[usable["patient"].isin(members)], training)
        rows.append(_judged("slides", UNSEEN, place, share, 0.0, TOLERATED, outside, words, n=n))
    return rows


def _outside(modality: str, feature: str, table: pd.DataFrame, limits: pd.DataFrame, site: pd.Series) -> list[dict]:
    """The share of columns (genes, concepts) whose site median lies outside `limits`, and the farthest of them."""
    names = [name for name in limits.index if name in table]
    low, high = limits.loc[names].to_numpy(np.float64).T
    half = feature == OUTSIDE_HALF
    rows = []
    for place, members in _sites(table.index, site):
        medians = table.loc[members, names].median().to_numpy(np.float64)
        known = ~np.isnan(medians)
        if not known.any():
            continue
        slack = _TOLERANCE * np.maximum(np.abs(low), np.abs(high))
        beyond = np.maximum(low - medians, medians - high)
        outside = known & (beyond > slack)
        share = float(outside.sum() / known.sum())
        order = np.argsort(-np.where(outside, beyond / np.maximum(high - low, 1e-9), -np.inf), kind="stable")
        farthest = [names[i] for i in order[: min(_SHOWN, int(outside.sum()))]]
        most = max(TOLERATED_HALF, 2 * outside_half(len(members))) if half else EXPECTED_OUTSIDE
        held = "half" if half else f"{reference.WIDE_RANGE:.0%}"
        words = (
            f"{outside.sum()} of {known.sum()} medians lie outside the range that holds {held} of the training patients"
        )
        words += f"; farthest: {', '.join(farthest)}" if farthest else ""
        rows.append(_judged(modality, feature, place, share, 0.0, most, share > most, words, n=len(members)))
    return rows


def outside_half(n: int) -> float:
    """Probability that the median of n patients lies outside the quartiles of what they are drawn from (n odd)."""
    half = (n + 1) // 2  # at least so many on one side: the upper tail of a binomial distribution
    return float(2 * betainc(half, n - half + 1, 0.25))


def _judged(
    modality: str, feature: str, site: str, value: float, low: float, high: float, outside: bool, words: str, *, n: int
) -> dict:
    flagged = outside and n >= MIN_PATIENTS
    if outside and not flagged:
        words += f"; not flagged, because there are too few patients ({n})"
    return {
        "modality": modality, "feature": feature, "site": site, "value": value, "reference_low": low,
        "reference_high": high, "flagged": flagged, "says": words,
    }  # fmt: skip
