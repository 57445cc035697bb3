"""Are a cohort's values plausible for the training cohort? Judged by how many lie outside the training range.

Models extrapolate without a sign of it, so predictions from values that were never seen in training are not given. The limits
below were measured on real RNA (docs/apply.md): cohorts of the training's unit and platform, and those of other ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histoweave.apply import reference
from histoweave.apply.drift import MIN_PATIENTS
from histoweave.apply.measures import beyond
from histoweave.apply.read import Bundle
from histoweave.fusion.catalog import EXPRESSION, IMAGE

TYPES = {
    "patient": "str", "modality": "str", "n_values": "int64", "share": "float64", "n_group": "int64",
    "share_medians": "float64", "reason": "str",
}  # fmt: skip
MIN_VALUES = 10  # of one patient; fewer, and a few odd genes would decide


@dataclass(frozen=True)
class Judged:
    """How a modality is judged.

    Attributes
    ----------
    member : of the bundle, with the training range of each value. what, values : words for them.
    medians, single : share of the medians of a group of patients, and of the values of one patient, from which on they
        are not taken for what the models were fitted on.
    """

    member: str
    what: str
    values: str
    medians: float
    single: float


# Medians of genes: 0 to 17 % outside in RNA of the same unit, 58 % and more in values of another (docs/apply.md). One
# patient of the same kind has up to 50 %. Means of tile features move with every scanner and stain: nearly all must be off.
JUDGED = {
    EXPRESSION: Judged(reference.GENES, "RNA", "genes", medians=0.5, single=0.6),
    IMAGE: Judged(reference.FEATURES, "images", "values of the mean tile features", medians=0.8, single=0.8),
}


def judge(
    bundle: Bundle,
    *,
    patients: pd.DataFrame,
    means: pd.DataFrame | None,
    expression: pd.DataFrame | None,
    comparable: set[str],
) -> pd.DataFrame:
    """One row per modality and patient that has it (`TYPES`): `reason` is empty where the values can be read.

    Five patients or more are judged by their medians: those of a site by themselves where there are several, the rest
    together. Each patient is judged by the own values besides.

    Parameters
    ----------
    patients : `patient`, `site` (None: unknown).
    means : patients × D mean tile features, None without. expression : patients × genes, log2, None without.
    comparable : modalities that are not refused: `image`, `expression`.
    """
    site = patients.set_index("patient")["site"]
    parts = [pd.DataFrame(columns=list(TYPES)).astype(TYPES)]
    for modality, table in ((EXPRESSION, expression), (IMAGE, means)):
        judged = JUDGED[modality]
        if table is not None and len(table) and modality in comparable and bundle.has(judged.member):
            limits = reference.read_reference(bundle.folder, judged.member)
            parts.append(judge_values(table, limits, site, modality=modality))
    return pd.concat(parts[1:] or parts, ignore_index=True).astype(TYPES)


def judge_values(table: pd.DataFrame, limits: pd.DataFrame, site: pd.Series, *, modality: str) -> pd.DataFrame:
    """The rows of one modality, sorted by patient.

    Parameters
    ----------
    table : patients × values, NaN where there is none. limits : `low`, `high` of each value (its index).
    site : patient → site, None where it is not known.
    """
    judged = JUDGED[modality]
    names = [name for name in limits.index if name in table]
    table = table[names].sort_index()
    values = table.to_numpy(np.float64)
    low, high = limits.loc[names, ["low", "high"]].to_numpy(np.float64).T
    known = ~np.isnan(values)
    n_values = known.sum(axis=1)
    share = _share(beyond(values, low, high), known)
    odd = (share >= judged.single) & (n_values >= MIN_VALUES)
    one = f"{judged.single:.0%} or more of the patient's {judged.values}"
    found = pd.DataFrame(
        {
            "patient": table.index, "modality": modality, "n_values": n_values, "share": share, "n_group": 1,
            "share_medians": np.nan, "reason": np.where(odd, _words(judged, one), ""),
        }
    )  # fmt: skip
    for members in groups(table.index, site):
        medians = table.iloc[members].median().to_numpy(np.float64)
        has = ~np.isnan(medians)
        if not has.any():
            continue
        n_outside = int((beyond(medians, low, high) & has).sum())
        found.loc[members, "n_group"] = len(members)
        found.loc[members, "share_medians"] = n_outside / has.sum()
        if n_outside >= judged.medians * has.sum():
            found.loc[members, "reason"] = _words(
                judged, f"the medians of {judged.medians:.0%} or more of the {judged.values}"
            )
    return found


def groups(ids: pd.Index, site: pd.Series) -> Iterator[np.ndarray]:
    """Places in `ids` of the patients whose medians are judged together: each large site of several, then the rest."""
    names = site.reindex(ids).to_numpy(object)
    sites, counts = np.unique([str(name) for name in names if not pd.isna(name)], return_counts=True)
    large: Iterable[str] = sites[counts >= MIN_PATIENTS] if len(sites) > 1 else []
    of = np.array(["" if pd.isna(name) else str(name) for name in names], dtype=object)
    for name in large:
        yield np.flatnonzero(of == name)
    rest = np.flatnonzero(~np.isin(of, list(large)))
    if len(rest) >= MIN_PATIENTS:
        yield rest


def _share(outside: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Share of the known values of each row that lie outside, NaN for a row without any."""
    n = known.sum(axis=1)
    return np.where(n > 0, (outside & known).sum(axis=1) / np.maximum(n, 1), np.nan)


def _words(judged: Judged, which: str) -> str:
    return (
        f"{judged.what}: {which} lie outside the range that holds {reference.WIDE_RANGE:.0%} of the training patients"
    )
