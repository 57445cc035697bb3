"""The side check `sites` scored: AUROC and the other pooled metrics with whole sites left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.clusters import with_clusters
from histoweave.evaluation.evaluate import evaluate, pool
from histoweave.evaluation.metrics import METRICS
from histoweave.settings.evaluation import Evaluation

NOT_FITTED = "a fold with whole sites left out could not be fitted (see logs/sites)"
TYPES = {
    "model": "str", "metric": "str", "scope": "str", "estimate": "float64", "ci_low": "float64", "ci_high": "float64",
    "n": "int64", "reason": "str",
}  # fmt: skip


def evaluate_sites(
    folds: list[tuple[str, pd.DataFrame]],
    *,
    patients: pd.DataFrame,
    how_folded: Mapping[str, Any],
    classes: list[str],
    modalities: Collection[str],
    settings: Evaluation,
    seed: int,
) -> pd.DataFrame:
    """Rows of `metrics.parquet`, scope `pooled`, with intervals over sites, and a column `reason`.

    A model of which a fold has no predictions has its rows with estimate NaN, n 0 and the reason (empty otherwise).

    Parameters
    ----------
    folds : model and predictions of each fold, of `fusion.site_fold`. how_folded : `sites/folds.json`.
    modalities : those that any model of the run reads, so that the patients are those of the main evaluation.
    """
    models = list(dict.fromkeys(model for model, _ in folds))
    reason = "" if how_folded["feasible"] else how_folded["why"]
    lacking = {model for model, table in folds if table.empty}
    scored = [(model, table) for model, table in folds if model not in lacking]
    tables = []
    if scored:
        predictions = with_clusters(pool(scored), patients=patients, how=how_folded)
        metrics = evaluate(
            predictions, patients=patients, classes=classes, order=models, modalities=modalities, settings=settings,
            seed=seed,
        )["metrics"]  # fmt: skip
        tables.append(metrics[metrics["scope"] == "pooled"].assign(reason=""))
    for model in models:
        if model in lacking:
            unknown = dict.fromkeys(("estimate", "ci_low", "ci_high"), np.nan) | {"n": 0, "scope": "pooled"}
            named = {"model": model, "metric": list(METRICS), "reason": reason or NOT_FITTED}
            tables.append(pd.DataFrame({**named, **unknown}))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(TYPES))
    return table[list(TYPES)].astype(TYPES)
