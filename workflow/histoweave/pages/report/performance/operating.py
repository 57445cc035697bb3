"""Models as tests for a class, and how many patients of each class there are, as tables and sentences for the page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from histoweave.evaluation.operating import MEASURES
from histoweave.evaluation.shown import estimate_text
from histoweave.pages.kit.tables import Cell, Table, estimate, number
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.performance import tables as views

_TITLES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV"}


def content(tables: ReportTables) -> dict[str, Any]:
    """What the section shows: two tables and sentences."""
    return {"table": operating_table(tables), "thresholds": thresholds_table(tables), "says": says(tables)}


def class_counts(tables: ReportTables) -> pd.DataFrame:
    """`class`, `included` and `scored` patients: scored are those on whom all models are compared."""
    has_all = tables.predictions[[f"has_{modality}" for modality in sorted(tables.modalities)]].astype(bool).all(axis=1)
    scored = tables.predictions[has_all].drop_duplicates("patient")["y_true"].value_counts()
    included = tables.patients.loc[tables.patients["included"], "label"].value_counts()
    counts = {"included": included, "scored": scored}
    table = pd.DataFrame({name: count.reindex(tables.classes, fill_value=0) for name, count in counts.items()})
    return table.rename_axis("class").reset_index()


def class_counts_table(tables: ReportTables) -> Table:
    """The classes with their patients, and the share of each among those scored."""
    counts = class_counts(tables)
    total = counts["scored"].sum()
    rows = tuple(
        (
            Cell(str(row["class"])), number(row["included"]), number(row["scored"]),
            number(100 * row["scored"] / total if total else None),
        )
        for row in counts.to_dict("records")
    )  # fmt: skip
    return Table(("Class", "Patients included", "Patients scored", "Share of those scored, %"), rows)


def operating_table(tables: ReportTables) -> Table:
    """Class and model in rows, measures and counts in columns; models without a threshold are left out."""
    if tables.operating is None:
        return Table((), ())
    rows = []
    found = tables.operating.set_index(["class", "model", "measure"])
    for label in tables.classes:
        for model, title in tables.titles.items():
            if (label, model, MEASURES[0]) not in found.index:
                continue
            of_measure = {measure: found.loc[(label, model, measure)] for measure in MEASURES}
            first = of_measure[MEASURES[0]]
            if not first[["tp", "fp", "tn", "fn"]].sum():
                continue
            counts = (number(first[name], digits=_digits(first[name])) for name in ("tp", "fp", "tn", "fn"))
            cells = (estimate(of_measure[measure]) for measure in MEASURES)
            rows.append((Cell(label), Cell(title), *cells, *counts, Cell(first["reason"] or "–")))
    counted = ("True positives", "False positives", "True negatives", "False negatives")
    return Table(("Class", "Model", *(_TITLES[measure] for measure in MEASURES), *counted, "Note"), tuple(rows))


def _digits(count: float) -> int:
    """Counts are means over the repeats."""
    return 0 if float(count).is_integer() else 1


def thresholds_table(tables: ReportTables) -> Table:
    """Which threshold every fold has, from how many patients."""
    if tables.operating_thresholds is None:
        return Table((), ())
    rows = tuple(
        (
            Cell(str(row["class"])), Cell(tables.titles.get(row["model"], row["model"])), number(row["repeat"]),
            number(row["fold"]), number(row["threshold"], digits=3), number(row["youden"], digits=2),
            number(row["n_val_class"]), number(row["n_val"]), Cell("yes" if row["weights_saw"] else "no"),
            Cell(row["reason"] or "–"),
        )
        for row in tables.operating_thresholds.to_dict("records")
    )  # fmt: skip
    columns = (
        "Class", "Model", "Repeat", "Fold", "Threshold", "Youden index", "Validation patients of the class",
        "Validation patients", "Model fitted again including them", "Note",
    )  # fmt: skip
    return Table(columns, rows)


def says(tables: ReportTables) -> list[str]:
    """One sentence per class on the main fusion model, without fusion on the last model."""
    model = views.main_fusion(tables) or list(tables.titles)[-1]
    if tables.operating is None:
        return []
    rows = tables.operating[tables.operating["model"] == model]
    return [
        _says(str(label), tables.titles[model], part.set_index("measure"))
        for label, part in rows.groupby("class", sort=False)
    ]


def _says(label: str, title: str, found: pd.DataFrame) -> str:
    start = f"As a test for {label}, {title}"
    if not found[["tp", "fp", "tn", "fn"]].iloc[0].sum():
        return f"{start} cannot be evaluated: {found['reason'].iloc[0] or 'no patient was scored'}."
    shares = {measure: _share(found.loc[measure]) for measure in MEASURES}
    return (
        f"{start} has a sensitivity of {shares['sensitivity']} and a specificity of {shares['specificity']}. "
        f"{_start(shares['ppv'])} of its positive predictions (PPV) and {shares['npv']} of its negative predictions (NPV) "
        "are correct."
    )


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def _share(row: pd.Series) -> str:
    """A share in per cent with its interval."""
    if not row["n"]:
        return "an unknown share (there are none)"
    return estimate_text(row["estimate"], row["ci_low"], row["ci_high"], against=(), digits=0, percent=True)
