"""Which patients of an external cohort were predicted or withheld and why, and which classes were predicted."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from histoweave.apply.statuses import ABSTAINED, GIVEN, INSISTED
from histoweave.pages.applied.inputs import AppliedTables
from histoweave.pages.kit.tables import Cell, Table, number


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Patients of an external cohort, counted; a model that reads nothing predicts nobody.

    Attributes
    ----------
    given : all. predicted : a model gave probabilities. insisted : of those, whose call is by `apply.insist` alone.
    withheld : nobody gave any, and a model would have. unable : no model can read what they have.
    partly : predicted, and some model's prediction is withheld.
    """

    given: int
    predicted: int
    insisted: int
    withheld: int
    unable: int
    partly: int


def reading(tables: AppliedTables) -> pd.DataFrame:
    """The predictions of models that read something; of all models where none does."""
    names = [model.name for model in tables.models if model.modalities] or list(tables.titles)
    return tables.predictions[tables.predictions["model"].isin(names)]


def leading(tables: AppliedTables) -> pd.DataFrame:
    """One row per patient with a prediction, sorted: of the main model, or of the last model that can give one."""
    place = {tables.main: -1} | {
        model.name: n for n, model in enumerate(reversed(tables.models)) if model.name != tables.main
    }
    rows = reading(tables)
    rows = rows[rows["status"].isin(GIVEN)]
    # A prediction that had to be insisted on counts only where there is no other.
    rows = rows.assign(insisted=rows["status"] == INSISTED, place=rows["model"].map(place))
    rows = rows.sort_values(["patient", "insisted", "place"], kind="stable")
    return rows.drop_duplicates("patient").drop(columns=["insisted", "place"])


def standing(tables: AppliedTables) -> Standing:
    """Count who was predicted and who was not."""
    rows, calls = reading(tables), leading(tables)
    everybody, predicted = set(rows["patient"]), set(calls["patient"])
    abstained = set(rows.loc[rows["status"] == ABSTAINED, "patient"])
    return Standing(
        given=len(everybody),
        predicted=len(predicted),
        insisted=int((calls["status"] == INSISTED).sum()),
        withheld=len(abstained - predicted),
        unable=len(everybody - predicted - abstained),
        partly=len(abstained & predicted),
    )


def reasons(tables: AppliedTables, status: str, *, only: set[str] | None = None) -> pd.DataFrame:
    """Why predictions have a status: `reason`, `models` (titles), `patients` (how many), the most frequent first.

    Parameters
    ----------
    only : patients that count; None: all.
    """
    rows = tables.predictions[tables.predictions["status"] == status]
    rows = rows if only is None else rows[rows["patient"].isin(only)]
    found = [
        (reason, [tables.titles[name] for name in part["model"].unique()], part["patient"].nunique())
        for reason, part in rows.groupby("reason")
    ]
    table = pd.DataFrame(found, columns=["reason", "models", "patients"])
    return table.sort_values("patients", ascending=False, kind="stable", ignore_index=True)


def withheld_reasons(tables: AppliedTables) -> pd.DataFrame:
    """The same, of patients without any prediction whose prediction was withheld."""
    return reasons(tables, ABSTAINED, only=set(tables.predictions["patient"]) - set(leading(tables)["patient"]))


def reasons_table(tables: AppliedTables, status: str) -> Table:
    """One row per reason: how many patients, and which models."""
    rows = [
        (Cell(row.reason), number(row.patients), Cell(", ".join(row.models)))
        for row in reasons(tables, status).itertuples()
    ]
    return Table(("Reason", "Patients", "Models"), tuple(rows))


def calls(tables: AppliedTables) -> pd.DataFrame:
    """Calls counted: one row per true class (labels that the models do not know, and none, each together), then all.

    Columns `true_class`, `called_<class>`, `no_call` (patients without a prediction), `patients`.
    """
    truth = tables.predictions.drop_duplicates("patient").set_index("patient")["y_true"]
    called = leading(tables).set_index("patient")["called"].reindex(truth.index)
    known = truth.isin(tables.classes)
    of = truth.where(known, "another label").where(truth.notna(), "no label")
    # Several groups where there are labels; without any, one row tells everything.
    names = [name for name in (*tables.classes, "another label", "no label") if (of == name).any()]
    groups = [*((name, of == name) for name in names if truth.notna().any()), ("all", of.notna())]
    rows = []
    for name, members in groups:
        part = called[members]
        counts = {f"called_{label}": int((part == label).sum()) for label in tables.classes}
        rows.append({"true_class": name, **counts, "no_call": int(part.isna().sum()), "patients": len(part)})
    return pd.DataFrame(rows)


def calls_table(tables: AppliedTables) -> Table:
    """The same for the page."""
    rows = [
        (Cell(str(row["true_class"])), *(number(row[name]) for name in row if name != "true_class"))
        for row in calls(tables).to_dict("records")
    ]
    columns = (
        "True class" if tables.has_labels else "Patients of",
        *(f"predicted {label}" for label in tables.classes),
        "no prediction",
        "Patients",
    )
    return Table(columns, tuple(rows))
