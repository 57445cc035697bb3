"""How much better than random an explanation's order is, from the curves of deletion and insertion."""

from __future__ import annotations

import numpy as np
import pandas as pd

ATTRIBUTION, ATTENTION, RANDOM = "attribution", "attention", "random"
DELETION, INSERTION = DIRECTIONS = ("deletion", "insertion")


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """How much better than random order: one row per patient, modality, direction and order other than random.

    The area between the curves (trapezoids), such that more is better: deletion lowers the score, insertion raises it.

    Parameters
    ----------
    table : `patient` and the columns of `faithfulness.curves`.

    Returns
    -------
    `patient`, `modality`, `direction`, `order`, `gain`, sorted by these.
    """
    keys = ["patient", "modality", "direction", "order"]
    wide = table.pivot(index=keys, columns="share", values="score")
    areas = pd.Series(np.trapezoid(wide.to_numpy(), wide.columns.to_numpy(), axis=1), index=wide.index).unstack("order")
    areas = areas.reindex(columns=[ATTENTION, ATTRIBUTION, RANDOM])
    better = areas.drop(columns=RANDOM).sub(areas[RANDOM], axis=0)
    sign = np.where(better.index.get_level_values("direction") == DELETION, -1.0, 1.0)
    better = better.mul(sign, axis=0).stack().dropna()
    return better.rename("gain").rename_axis(keys).reset_index()
