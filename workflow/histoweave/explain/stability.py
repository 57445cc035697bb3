"""Does the model of another fold explain the same patient in the same way?"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

TOP_SHARE = 0.1
COLUMNS = {"modality": str, "spearman": np.float64, "top_overlap": np.float64}


def agreement(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Spearman's rank correlation of two attributions (n,) of the same tiles or genes, and their top overlap.

    The overlap is the Jaccard index of the tenths with the largest attribution. NaN for fewer than two values, and the
    correlation also where one of both is constant.
    """
    if len(one) < 2:
        return math.nan, math.nan
    n_top = math.ceil(TOP_SHARE * len(one))
    tops = [set(np.argsort(-values, kind="stable")[:n_top]) for values in (one, other)]
    overlap = len(tops[0] & tops[1]) / len(tops[0] | tops[1])
    constant = np.ptp(one) == 0 or np.ptp(other) == 0
    return math.nan if constant else float(spearmanr(one, other).statistic), overlap


def stability(
    *,
    tiles: tuple[np.ndarray | None, np.ndarray | None],
    genes: tuple[pd.Series | None, pd.Series | None],
) -> pd.DataFrame:
    """`modality`, `spearman`, `top_overlap` of one patient's attributions for one class by two models.

    tiles : (N,) of each model. genes : by gene, of each model; compared are the genes that both models read.
    """
    rows = []
    if tiles[0] is not None and tiles[1] is not None:
        rows.append(("image", *agreement(tiles[0], tiles[1])))
    if genes[0] is not None and genes[1] is not None:
        both = pd.concat(genes, axis=1, join="inner")
        rows.append(("expression", *agreement(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy())))
    return pd.DataFrame(rows, columns=list(COLUMNS))
