"""Whose predictions are given, and whose are withheld with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from histoweave.fusion import catalog
from histoweave.fusion.catalog import ModelInfo

# ok: every fold model voted. cannot: the patient lacks what the model reads. abstained: the patient's values lie outside
# what the models were fitted on. insisted: the same, and `apply.insist` asked for probabilities all the same.
OK, CANNOT, ABSTAINED, INSISTED = "ok", "cannot", "abstained", "insisted"
GIVEN = (OK, INSISTED)  # there are probabilities


def implausible(infos: Iterable[ModelInfo], plausible: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(model, patient) → why the values that the model would read cannot be trusted.

    Parameters
    ----------
    plausible : of `plausible.judge`.
    """
    odd = plausible[plausible["reason"] != ""]
    found: dict[tuple[str, str], str] = {}
    for info in infos:
        for row in odd[odd["modality"].isin(info.modalities)].itertuples():
            key = (info.name, row.patient)
            found[key] = f"{found[key]}; {row.reason}" if key in found else row.reason
    return found


def mark(predictions: pd.DataFrame, reasons: Mapping[tuple[str, str], str], *, insist: bool) -> pd.DataFrame:
    """Predictions that cannot be trusted without their numbers and call, or, if insisted on, with a status that says so.

    Parameters
    ----------
    predictions : of the ensemble; what it cannot predict stays so. reasons : of `implausible`.
    """
    table = predictions.copy()
    found = [reasons.get(key, "") for key in zip(table["model"], table["patient"], strict=True)]
    chosen = (np.array(found, dtype=object) != "") & table["status"].eq(OK).to_numpy()
    table.loc[chosen, "status"] = INSISTED if insist else ABSTAINED
    table.loc[chosen, "reason"] = np.array(found, dtype=object)[chosen]
    if not insist:
        numbers = [column for column in table if column.startswith("p_")] + ["entropy", "disagreement"]
        table.loc[chosen, numbers] = np.nan
        table.loc[chosen, "called"] = None
        table.loc[chosen, "n_models"] = 0
    return table


def without(votes: pd.DataFrame, reasons: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """The fold models' votes but those on values that cannot be trusted."""
    kept = [key not in reasons for key in zip(votes["model"], votes["patient"], strict=True)]
    return votes[kept].reset_index(drop=True)


def for_scoring(predictions: pd.DataFrame, plausible: pd.DataFrame) -> pd.DataFrame:
    """The same table in which a patient does not have a modality whose values cannot be trusted.

    Models are compared on patients that have all that they read: a withheld modality counts like one that is missing. Where
    it is withheld of everybody who has it, models that read it are left out, although some can do without.
    """
    table = predictions.copy()
    for modality, rows in plausible[plausible["reason"] != ""].groupby("modality"):
        table.loc[table["patient"].isin(rows["patient"]), f"has_{modality}"] = False
        if not table[f"has_{modality}"].any():
            readers = [name for name in table["model"].unique() if modality in catalog.get(name).modalities]
            table = table[~table["model"].isin(readers)]
    return table
