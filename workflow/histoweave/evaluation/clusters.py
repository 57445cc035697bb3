"""What intervals resample as a whole: patients, or the sites that folds keep together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd


def with_clusters(predictions: pd.DataFrame, *, patients: pd.DataFrame, how: Mapping[str, Any]) -> pd.DataFrame:
    """The predictions with a column `cluster` (str): the patient's site under folds of whole sites, else the patient.

    Parameters
    ----------
    predictions : with `patient`. patients : `patient`, `site`. how : `folds.json`.
    """
    ids = predictions["patient"].astype(str)
    if how["group_by"] == "site":
        return predictions.assign(cluster=ids.map(patients.set_index("patient")["site"]).astype(str))
    return predictions.assign(cluster=ids)
