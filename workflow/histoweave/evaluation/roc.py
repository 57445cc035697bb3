"""ROC curves of the pooled test predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd

COLUMNS = ["model", "class", "false_positive_rate", "true_positive_rate", "threshold"]


def told_apart(classes: list[str]) -> list[str]:
    """The classes that are each set against the rest: all, of two the positive one alone."""
    return classes[1:] if len(classes) == 2 else list(classes)


def roc(pooled: pd.DataFrame, *, models: list[str], classes: list[str]) -> pd.DataFrame:
    """ROC curve of each class against the rest, of the positive class alone if there are two: `COLUMNS`.

    Points on a straight line between two others are left out. The first point (0, 0) has no threshold: NaN. A class
    that no scored patient has, or that all have, has no curve.
    """
    from sklearn.metrics import roc_curve

    tables = []
    for model in models:
        rows = pooled[pooled["model"] == model]
        for label in told_apart(classes):
            is_label = (rows["y_true"] == label).to_numpy()
            if is_label.all() or not is_label.any():
                continue
            false_positive, true_positive, threshold = roc_curve(is_label, rows[f"p_{label}"])
            columns = {
                "false_positive_rate": false_positive,
                "true_positive_rate": true_positive,
                "threshold": np.where(np.isfinite(threshold), threshold, np.nan),
            }
            tables.append(pd.DataFrame({"model": model, "class": label, **columns}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
