"""Does the attention of a model fall on the planted tiles? Only a simulated cohort can answer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import bootstrap as over_patients
from histoweave.evaluation.bootstrap import interval
from histoweave.storage.records import read_index

PLANTED_FROM = 0.5  # share of a tile's area; tiles between the two limits are left out
UNPLANTED_BELOW = 0.1


def truth_files(indexes: Iterable[str | Path]) -> list[Path]:
    """Where the planted regions of the slides of some shards are: tables of `simulate.slide.write_slide`.

    Raises
    ------
    InputError
        if an index is damaged.
    """
    return [
        Path(index).parents[1] / name
        for index in indexes
        for record in read_index(index)
        for name in record.files
        if name.startswith("truth/")
    ]


def planted_share(tiles_um: np.ndarray, *, tile_um: float, squares: pd.DataFrame) -> np.ndarray:
    """Share of each tile's area that is planted: (N,) float64.

    Parameters
    ----------
    tiles_um
        (N, 2) top-left corners (x, y) in µm.
    squares
        the truth of this slide: `x_um`, `y_um`, `edge_um`, `planted_share`, a full regular grid.
    """
    grid = squares.pivot(index="y_um", columns="x_um", values="planted_share")
    edge_um = squares["edge_um"].iloc[0]

    def overlap(corners: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """(N, k) overlap in µm of each tile with each row or column of squares."""
        first = np.maximum(corners[:, None], starts)
        last = np.minimum(corners[:, None] + tile_um, starts + edge_um)
        return np.clip(last - first, 0, None)

    across = overlap(tiles_um[:, 0], grid.columns.to_numpy())
    down = overlap(tiles_um[:, 1], grid.index.to_numpy())
    return np.einsum("nr,rc,nc->n", down, grid.to_numpy(), across) / tile_um**2


def _patient_auroc(tiles: pd.DataFrame) -> float:
    """AUROC of attention for planted against unplanted tiles of one patient, NaN without both kinds."""
    from sklearn.metrics import roc_auc_score

    judged = tiles[(tiles["share"] >= PLANTED_FROM) | (tiles["share"] < UNPLANTED_BELOW)]
    planted = judged["share"] >= PLANTED_FROM
    if planted.nunique() < 2:
        return float("nan")
    return roc_auc_score(planted, judged["attention"])


def _weighted_mean(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of (n,) scores under each row of weights (b, n): (b, 1)."""
    return (weights @ scores / weights.sum(axis=1))[:, None]


def score_attention(
    attention: pd.DataFrame,
    *,
    slides: pd.DataFrame,
    tile_um: float,
    truth: pd.DataFrame,
    bootstrap: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """How well attention ranks planted tiles above unplanted ones of the same patient.

    A tile counts as planted if at least half of its area is, as unplanted below a tenth; the others are left
    out. The estimate is the mean over patients (with both kinds) of the AUROC within the patient, its
    interval the percentile bootstrap over patients (NaN for fewer than 10). Attention to a tile in several
    repeats is averaged first.

    Parameters
    ----------
    attention
        `model`, `patient`, `slide`, `x_lv0`, `y_lv0`, `attention`.
    slides
        `slide`, `level0_mpp`: the spacing that the tiles were cut with.
    truth
        squares of all slides: `slide`, `x_um`, `y_um`, `edge_um`, `planted_share`.

    Returns
    -------
    DataFrame
        `model`, `metric` (`attention_auroc`), `estimate`, `ci_low`, `ci_high`, `n` (patients); one row per
        model, sorted. Without a patient that has both kinds of tiles the estimate is NaN and `n` 0.
    """
    keys = ["model", "patient", "slide", "x_lv0", "y_lv0"]
    tiles = attention.groupby(keys, as_index=False)["attention"].mean()
    mpp = slides.set_index("slide")["level0_mpp"]
    squares = dict(iter(truth.groupby("slide")))
    tiles["share"] = np.nan
    for slide, rows in tiles.groupby("slide"):
        corners_um = rows[["x_lv0", "y_lv0"]].to_numpy() * mpp[slide]
        tiles.loc[rows.index, "share"] = planted_share(corners_um, tile_um=tile_um, squares=squares[slide])

    result = []
    for model, of_model in tiles.groupby("model"):
        scores = np.array([_patient_auroc(rows) for _, rows in of_model.groupby("patient")])
        scores = scores[~np.isnan(scores)]
        estimate = low = high = float("nan")
        if len(scores):
            point, draws = over_patients(partial(_weighted_mean, scores), len(scores), draws=bootstrap, seed=seed)
            (estimate,), (low,), (high,) = point, *interval(draws, confidence=confidence)
        result.append((model, "attention_auroc", estimate, low, high, len(scores)))
    table = pd.DataFrame(result, columns=["model", "metric", "estimate", "ci_low", "ci_high", "n"])
    return table.astype({"estimate": float, "ci_low": float, "ci_high": float, "n": "int64"})
