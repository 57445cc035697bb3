"""Does the attribution find what was planted? Only a simulated cohort can answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.explain.classes import MIN_SHARE, matrix, weighted_means
from histoweave.simulate.expression import LOWERED, RAISED
from histoweave.simulate.truth import score_attention

TOP_GENES = 20
N_PLANTED = len(RAISED) + len(LOWERED)


def planted_tiles(tiles: pd.DataFrame, *, positive: str, **how: Any) -> pd.DataFrame:
    """How well attribution for the positive class, and attention, rank planted tiles.

    The rows of `simulate.truth.score_attention` (`estimate`, `ci_low`, `ci_high`, `n`) by `order`.

    tiles : `patient`, `slide`, `x_lv0`, `y_lv0`, `attention`, `a_<positive>`. how : the rest of its arguments.
    """
    place = ["patient", "slide", "x_lv0", "y_lv0"]
    scores = {"attribution": tiles[f"a_{positive}"], "attention": tiles["attention"]}
    rows = [
        score_attention(tiles[place].assign(model=order, attention=score), **how)
        for order, score in scores.items()
        if score.notna().any()
    ]
    return pd.concat(rows, ignore_index=True).rename(columns={"model": "order"})


def planted_genes(
    genes: pd.DataFrame, labels: pd.Series, *, positive: str, draws: int, confidence: float, seed: int
) -> dict[str, Any]:
    """Recall of the planted genes among the 20 with the largest mean attribution for the positive class.

    Ranked are the genes of `classes.class_means`: those that reached the models of at least half of the positive
    patients. recall = planted ones among the top 20 / min(20, planted ones that are ranked). Each draw of the bootstrap
    ranks the genes anew.

    Returns
    -------
    `estimate`, `ci_low`, `ci_high`, `n` (patients), `n_planted` (ranked and planted), and `chance`: the expected recall
    of 20 genes drawn at random. NaN if no planted gene is ranked.
    """
    values = matrix(genes[genes["patient"].map(labels) == positive], f"a_{positive}")
    values = values.loc[:, values.notna().sum() >= MIN_SHARE * max(1, len(values))]
    planted = values.columns.isin([*RAISED, *LOWERED])
    n_top, most = min(TOP_GENES, len(planted)), min(TOP_GENES, int(planted.sum()))
    if not most:
        return dict.fromkeys(("estimate", "ci_low", "ci_high", "chance"), np.nan) | {"n": len(values), "n_planted": 0}
    means = weighted_means(values.to_numpy())

    def recall(weights: np.ndarray) -> np.ndarray:
        top = np.argsort(-np.abs(np.nan_to_num(means(weights))), axis=1, kind="stable")[:, :n_top]
        return planted[top].sum(axis=1, keepdims=True) / most

    (estimate,), drawn = bootstrap(recall, len(values), draws=draws, seed=seed)
    (low,), (high,) = interval(drawn, confidence=confidence)
    chance = n_top * planted.sum() / len(planted) / most
    return {
        "estimate": estimate, "ci_low": low, "ci_high": high, "n": len(values), "n_planted": int(planted.sum()),
        "chance": float(chance),
    }  # fmt: skip
