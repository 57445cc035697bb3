"""Who carries what: sites, hidden factors, labels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .members import WEAK, Member

LABELS = ("negative", "positive")
_FLIPPED = 0.03  # labels that contradict their factors
_BOTH = {(True, True): 0.45, (True, False): 0.22, (False, True): 0.22, (False, False): 0.11}
_SUM_LOGIT = 5.0  # of the label, per factor
_SITE_SHARE = 0.85  # of the patients of a site whose label is the site's


def strengths(member: Member) -> float:
    """How far both factors move what they move."""
    return member.strength * (WEAK if member.kind == "weak" else 1.0)


def draw_patients(member: Member) -> pd.DataFrame:
    """The patients of a cohort.

    Returns
    -------
    `patient`, `site`, `label`, `image`, `rna` (bool: the hidden factors), one row per patient.
    """
    rng = np.random.default_rng([member.seed, 1])
    n = member.n_patients
    sites = np.array([f"site{number % member.n_sites:02d}" for number in range(n)])
    if member.kind == "both":
        pairs = list(_BOTH)
        image, rna = np.array(pairs)[_dealt(n, list(_BOTH.values()), rng)].T
    else:
        image, rna = _balanced(n, rng), _balanced(n, rng)
    positive = _positive(member.kind, image, rna, sites=sites, rng=rng)
    return pd.DataFrame(
        {
            "patient": [f"F{number:04d}" for number in range(n)],
            "site": sites,
            "label": np.array(LABELS)[positive.astype(int)],
            "image": image,
            "rna": rna,
        }
    )


def _positive(
    kind: str, image: np.ndarray, rna: np.ndarray, *, sites: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    if kind == "none":
        return _balanced(len(image), rng)
    if kind == "site":
        of_site = {site: bool(number % 2) for number, site in enumerate(sorted(set(sites)))}
        own = np.array([of_site[site] for site in sites])
        return own ^ (rng.random(len(sites)) > _SITE_SHARE)
    if kind == "sum":
        logit = _SUM_LOGIT * (image.astype(float) + rna - 1)
        return rng.random(len(image)) < 1 / (1 + np.exp(-logit))
    exact = {"image": image, "rna": rna, "both": image & rna}.get(kind, image ^ rna)
    return exact ^ (rng.random(len(image)) < _FLIPPED)


def _balanced(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.arange(n) % 2 == 0)


def _dealt(n: int, shares: list[float], rng: np.random.Generator) -> np.ndarray:
    """Numbers 0 to len(shares) - 1 in as close to their shares as n allows, in random order."""
    bounds = np.round(np.cumsum(shares) * n).astype(int)
    return rng.permutation(np.searchsorted(bounds, np.arange(n), side="right"))


def oracle(patients: pd.DataFrame, member: Member) -> np.ndarray:
    """(n,) float64: the probability of the positive label for who knows the hidden factors (and the site) exactly."""
    image, rna = patients["image"].to_numpy(), patients["rna"].to_numpy()
    if member.kind == "none":
        return np.full(len(patients), 0.5)
    if member.kind == "site":
        of_site = {site: bool(number % 2) for number, site in enumerate(sorted(patients["site"].unique()))}
        own = patients["site"].map(of_site).to_numpy(dtype=bool)
        return np.where(own, _SITE_SHARE, 1 - _SITE_SHARE)
    if member.kind == "sum":
        return 1 / (1 + np.exp(-_SUM_LOGIT * (image.astype(float) + rna - 1)))
    exact = {"image": image, "rna": rna, "both": image & rna}.get(member.kind, image ^ rna)
    return np.where(exact, 1 - _FLIPPED, _FLIPPED)
