"""Which tiles of a patient are looked at: those that speak most for and against the patient's class, and a sample."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

# Of each patient, over all slides. Enough that the error of their mean is small beside the spread between patients.
SAMPLED_TILES = 32


def chosen_tiles(
    tiles: pd.DataFrame, labels: Mapping[str, str], *, slides: list[str], top_tiles: int, seed: int
) -> pd.DataFrame:
    """The tiles on some slides that are looked at.

    Ranked is by attribution for the class that the patient *has*, as everything that is said of classes, so that wrong
    calls blur nothing. The choice is made over all slides of the patient, and is the same whichever slides are asked.

    Parameters
    ----------
    tiles : `patient`, `slide`, `x_lv0`, `y_lv0`, `a_<class>` of all folds.
    labels : class of each patient.
    top_tiles : at either end of a patient's ranking, fewer where fewer have that sign. seed : of the sample.

    Returns
    -------
    `patient`, `class`, `slide`, `x_lv0`, `y_lv0`, `attribution`, `z` (attribution minus its mean over the patient's
    tiles, by its standard deviation: models of different folds have different scales), and the bools `leading` (speaks
    for the class), `trailing` (speaks against it) and `sampled` (drawn at random from all tiles of the patient; may be leading or trailing too).
    """
    own = tiles[tiles["patient"].isin(set(tiles.loc[tiles["slide"].isin(slides), "patient"]))]
    parts = [
        _of_patient(part, str(labels[patient]), top_tiles=top_tiles, rng=_rng(seed, patient))
        for patient, part in own.groupby("patient")
    ]
    columns = ["patient", "class", "slide", "x_lv0", "y_lv0", "attribution", "z", "leading", "trailing", "sampled"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table.loc[table["slide"].isin(slides), columns].reset_index(drop=True)


def _rng(seed: int, patient: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{patient}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _of_patient(tiles: pd.DataFrame, label: str, *, top_tiles: int, rng: np.random.Generator) -> pd.DataFrame:
    own = tiles[f"a_{label}"].to_numpy(np.float64)
    order = np.argsort(-own, kind="stable")
    flags = {name: np.zeros(len(own), bool) for name in ("leading", "trailing", "sampled")}
    # Only what speaks for the class leads, and only what speaks against it trails, whatever its rank.
    flags["leading"][order[:top_tiles]] = own[order[:top_tiles]] > 0
    flags["trailing"][order[-top_tiles:]] = own[order[-top_tiles:]] < 0
    flags["sampled"][rng.choice(len(own), min(SAMPLED_TILES, len(own)), replace=False)] = True
    spread = own.std()
    z = (own - own.mean()) / spread if spread > 0 else np.zeros(len(own))
    table = tiles[["patient", "slide", "x_lv0", "y_lv0"]].assign(attribution=own, z=z, **flags, **{"class": label})
    return table[flags["leading"] | flags["trailing"] | flags["sampled"]]
