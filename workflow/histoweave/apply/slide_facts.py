"""What the feature files of a cohort say of how they were made."""

from __future__ import annotations

import math

import h5py
import pandas as pd

COLUMNS = (
    "slide", "encoder", "weights_sha256", "dim", "input_px", "arithmetic", "precision", "tile_px", "target_mpp",
)  # fmt: skip


def slide_facts(slides: pd.DataFrame) -> pd.DataFrame:
    """`COLUMNS` of every usable slide: `tile_px` 0 and `target_mpp` NaN where a file made elsewhere does not say.

    Parameters
    ----------
    slides : `slide`, `status`, `features` (path).
    """
    rows = []
    for row in slides[slides["status"] == "ok"].sort_values("slide").itertuples():
        with h5py.File(row.features) as file:
            made, place = dict(file["features"].attrs), dict(file["coords"].attrs)
            rows.append(
                {
                    "slide": row.slide,
                    "encoder": str(made.get("encoder", "unknown")),
                    "weights_sha256": str(made.get("weights_sha256", "")),
                    "dim": int(file["features"].shape[1]),
                    "input_px": int(made.get("input_px", 0)),
                    "arithmetic": str(made.get("arithmetic", "unknown")),
                    "precision": str(file["features"].dtype),
                    "tile_px": int(place.get("patch_size", 0)),
                    "target_mpp": float(place.get("target_mpp", math.nan)),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))
