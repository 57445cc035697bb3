"""What stages ask of an images table."""

from __future__ import annotations

import pandas as pd

from histoweave.errors import InputError


def usable(images: pd.DataFrame) -> pd.DataFrame:
    """The rows of an images table that have tokens (status `ok`), sorted by image."""
    return images[images["status"] == "ok"].sort_values("image", ignore_index=True)


def patient_labels(images: pd.DataFrame) -> pd.Series:
    """The label of every patient (None where blank): patient → `patient_label`, sorted.

    Raises
    ------
    InputError
        naming a patient whose images carry different patient labels.
    """
    labels = images.groupby("patient")["patient_label"]
    n_labels = labels.nunique()
    if (n_labels > 1).any():
        raise InputError(
            f"images: patient '{n_labels.idxmax()}' has more than one patient label; give each patient one"
        )
    return labels.first().astype(object).where(n_labels == 1, None)
