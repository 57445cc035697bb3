"""What the answers on confounding mean, in plain words. The rules are written down in docs/confounding.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from histoweave.evaluation.conclusion import UNRELATED
from histoweave.fusion import catalog

CHANCE = 0.5
_MAX_DIGITS = 4
Status = Literal["explained", "associated", "told", "clear", "unknown"]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What one column means for the results.

    Attributes
    ----------
    status : `explained` (a warning: the column predicts the label and the main model does not hold within it),
        `associated` (it predicts the label and the model holds), `told` (only the predictions tell it), `clear`,
        `unknown` (cannot be told, or not ruled out).
    says : sentences.
    """

    column: str
    status: Status
    says: str


def main_model(titles: Mapping[str, str]) -> str | None:
    """The model that a verdict is about, chosen by its place: the last that reads both modalities, else the last that
    reads any; None without."""
    reading = [model for model in titles if catalog.get(model).modalities]
    both = [model for model in reading if len(catalog.get(model).modalities) > 1]
    return next(reversed(both or reading), None)


def verdicts(
    table: pd.DataFrame, metrics: pd.DataFrame, *, titles: Mapping[str, str], by_patient: bool
) -> list[Verdict]:
    """One verdict per column, in the order of the table.

    Parameters
    ----------
    table : `confounding.parquet`. metrics : `metrics.parquet`.
    titles : model → plain words, of the models of the run in their order.
    by_patient : False if the folds keep whole sites.
    """
    main = main_model(titles)
    scores = metrics[(metrics["metric"] == "auroc") & (metrics["scope"] == "pooled")].set_index("model")
    pooled = scores.loc[main].to_dict() if main in scores.index else None
    return [
        _verdict(str(column), rows.to_dict("records"), pooled, main, titles, by_patient=by_patient)
        for column, rows in table.groupby("column", sort=False)
    ]


def looked_at(table: pd.DataFrame) -> str:
    """How many columns and models were evaluated: each interval is valid by itself only."""
    columns = table["column"].nunique()
    models = table.loc[table["model"] != "", "model"].nunique()
    return (
        f"{columns} column{'s' * (columns != 1)} and {models} model{'s' * (models != 1)} were evaluated. Each interval is "
        "valid by itself; among many intervals, some exclude 0.5 by chance."
    )


def _verdict(
    column: str, rows: list[Row], pooled: Row | None, main: str | None, titles: Mapping[str, str], *, by_patient: bool
) -> Verdict:
    named = column.replace("_", " ")
    alone = _find(rows, "label_from_column")
    if alone is None or not _known(alone):
        why = alone["reason"] if alone is not None and alone["reason"] else "too few patients"
        return Verdict(column, "unknown", f"It is not known whether the {named} predicts the label: {why}.")
    told = _find(rows, "column_from_predictions", main)
    if not _above(alone):
        start = f"There is no evidence that the {named} alone predicts the label (AUROC {shown(alone)})"
        if by_patient and main is not None and told is not None and _above(told):
            return Verdict(
                column,
                "told",
                f"{start}. However, the predictions of {titles[main]} carry information about the {named} (AUROC "
                f"{shown(told)} among patients of the same class): results may differ for another {named}.",
            )
        inside = _find(rows, "label_within_column", main)
        open_ = by_patient and alone["ci_high"] >= UNRELATED
        if main is not None and open_ and not (inside is not None and _above(inside)):
            said = (
                f"{start}, but {UNRELATED} or more is not excluded, and {titles[main]} is not shown to separate the classes "
                f"among patients of the same {named}: the {named} is not ruled out as an explanation."
            )
            return Verdict(column, "unknown", said)
        return Verdict(column, "clear", f"{start}: no sign that it explains the results.")
    start = f"The {named} alone predicts the label (AUROC {shown(alone)})"
    if main is None:
        return Verdict(column, "associated", f"{start}. No model in this run uses images or RNA.")
    if pooled is not None and not _above(pooled):
        said = (
            f"{start}. {_start(titles[main])} is not shown to be better than chance (AUROC {shown(pooled)}), so there is no "
            "result to explain."
        )
        return Verdict(column, "associated", said)
    within = _find(rows, "label_within_column", main)
    ending = _others(rows, named, titles) + _whole(rows, main, titles)
    if within is not None and _above(within):
        said = (
            f"{start}; the two are associated. The result of {titles[main]} holds among patients of the same {named}: "
            f"AUROC {shown(within)}."
        )
        return Verdict(column, "associated", said + ending)
    if within is None or not _known(within):
        among = f"It is not known whether {titles[main]} separates the classes among patients of the same {named}"
    elif within["ci_high"] < CHANCE:
        among = f"Among patients of the same {named}, {titles[main]} is worse than chance (AUROC {shown(within)})"
    else:
        among = (
            f"Among patients of the same {named}, {titles[main]} has an AUROC of {shown(within)}, which does not exclude "
            "chance"
        )
    return Verdict(column, "explained", f"{start}. {among}: the {named} may explain its result." + ending)


def _others(rows: list[Row], named: str, titles: Mapping[str, str]) -> str:
    """How many of the evaluated models hold within levels."""
    asked = [row for row in rows if row["question"] == "label_within_column" and row["model"] in titles]
    if len(asked) < 2:
        return ""
    holding = [titles[row["model"]] for row in asked if _above(row)]
    names = f" ({', '.join(holding)})" if 0 < len(holding) < len(asked) else ""
    return (
        f" {len(holding) or 'None'} of {len(asked)} evaluated models{names} "
        f"{'has' if len(holding) < 2 else 'have'} an interval above 0.5 among patients of the same {named}."
    )


def _whole(rows: list[Row], main: str, titles: Mapping[str, str]) -> str:
    whole = _find(rows, "label_whole_columns", main)
    if whole is None or not _known(whole):
        return ""
    return f" With whole sites left out of the fitting, the AUROC of {titles[main]} is {shown(whole)}."


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def _find(rows: list[Row], question: str, model: str | None = "") -> Row | None:
    return next((row for row in rows if row["question"] == question and row["model"] == model), None)


def _known(row: Row) -> bool:
    return not any(math.isnan(row[name]) for name in ("estimate", "ci_low", "ci_high"))


def _above(row: Row) -> bool:
    return _known(row) and row["ci_low"] > CHANCE


def shown(row: Row) -> str:
    """`0.72 [0.61, 0.83]`, with as many digits as it takes to see on which side of 0.5 the interval ends."""
    values = [row[name] for name in ("estimate", "ci_low", "ci_high")]
    if math.isnan(values[0]):
        return "not known"
    digits = next((d for d in range(2, _MAX_DIGITS) if all(map(_same_side, values, [d] * 3))), _MAX_DIGITS)
    value, low, high = (f"{number:.{digits}f}" for number in values)
    return value if math.isnan(values[1]) else f"{value} [{low}, {high}]"


def _same_side(value: float, digits: int) -> bool:
    return math.isnan(value) or value == CHANCE or round(value, digits) != CHANCE
