"""The page of an external cohort: a frozen bundle, applied to patients of another place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from histoweave.apply.scanners import EVERYWHERE, UNSEEN
from histoweave.apply.statuses import ABSTAINED, GIVEN, INSISTED
from histoweave.decide.class_sets import parted
from histoweave.evaluation.metrics import CLASS_METRICS, DIRECTIONS, SHOWN
from histoweave.pages.applied import scores as applied_scores
from histoweave.pages.applied import wording as applied_wording
from histoweave.pages.applied.calls import calls_table, leading, reading, reasons_table, standing
from histoweave.pages.applied.inputs import AppliedInputs, AppliedTables, read_applied
from histoweave.pages.kit.tables import Cell, KeyNumber, Table, estimate, number, pair_table
from histoweave.pages.kit.template import render
from histoweave.pages.kit.versions import package_versions
from histoweave.pages.report.decisions.tables import SET_TITLES
from histoweave.pages.report.performance import tables as views
from histoweave.storage.files import write_text

SECTIONS = {
    "summary": "Summary",
    "compatibility": "Compatibility with the models",
    "drift": "Difference from the training cohort",
    "predictions": "Predictions by patient",
    "metrics": "Performance metrics",
    "coverage": "Coverage of prediction sets",
    "provenance": "Provenance",
}
MAX_DRIFT_ROWS = 500
NAMED_DRIFTS = 8
_STATUS_WORDS = {"ok": "compatible", "warn": "warning", "withheld": "withheld", "refused": "refused"}


def write_applied(inputs: AppliedInputs, out: str | os.PathLike) -> None:
    """Write the page to `out`, whole or not at all. It needs no other file; equal inputs give equal bytes."""
    tables = read_applied(inputs)
    flagged, n_more = drift_table(tables.drift)
    classes, sites = (views.scopes_like(tables, prefix) for prefix in ("class:", "site:"))
    all_metrics = list(SHOWN)
    page = render(
        "applied.html.j2",
        folder=Path(__file__).parent,
        cohort=inputs.cohort,
        trained_on=inputs.trained_on,
        sections=SECTIONS,
        level=inputs.level,
        labelled=tables.labelled,
        unscored="no patient with a label has a prediction." if tables.has_labels else "the patients have no labels.",
        classes=list(tables.classes),
        main_title=tables.titles[tables.main],
        n_patients=tables.predictions["patient"].nunique(),
        n_models=len(tables.models),
        alignment=" ".join(applied_wording.alignment(tables)),
        key_numbers=key_numbers(tables, inputs.level),
        warnings=applied_scores.warnings(tables, inputs.level),
        calls=calls_table(tables),
        withheld=reasons_table(tables, ABSTAINED),
        insisted=reasons_table(tables, INSISTED),
        class_coverage=applied_scores.class_coverage_words(tables, inputs.level),
        summary=applied_wording.summary(tables, trained_on=inputs.trained_on, level=inputs.level),
        compatibility=compatibility_table(tables.compatibility),
        missing_genes_share=tables.compatibility["missing_genes_share"],
        missing_genes=tables.compatibility["missing_genes"],
        drift_by_site=drift_by_site(tables.drift),
        scanners=scanner_table(tables.drift),
        drift=flagged,
        n_more_drift=n_more,
        drifted=named_drifts(tables.drift[tables.drift["feature"] != UNSEEN]),  # which have a table of their own
        by_patient=patients_table(tables),
        by_model=models_table(tables),
        n_more_patients=max(0, len(leading(tables)) - views.MAX_PATIENT_ROWS),
        without=without_table(tables),
        directions=DIRECTIONS,
        pooled=views.metric_table(tables, scopes=["pooled"], metrics=all_metrics),
        incomplete=views.metric_table(tables, scopes=["incomplete"], metrics=all_metrics),
        by_class=views.metric_table(tables, scopes=classes, metrics=CLASS_METRICS, scope_title="Class"),
        by_site=views.metric_table(tables, scopes=sites, metrics=views.SITE_METRICS, scope_title="Site"),
        coverage=coverage_table(tables),
        confidence=inputs.config.get("evaluation", {}).get("confidence", 0.95),
        versions=pair_table(package_versions(), ("Package", "Version")),
        input_sha256=pair_table(inputs.input_sha256, ("File", "SHA-256")),
        code=pair_table(inputs.code, ("Stage", "Fingerprint")),
        config_yaml=yaml.safe_dump(dict(inputs.config), sort_keys=False, allow_unicode=True),
    )
    write_text(out, page)


def key_numbers(tables: AppliedTables, level: float) -> list[KeyNumber]:
    """Who was predicted; how many values drifted; with labels how good predictions are, else how many are unambiguous."""
    rows, counted = leading(tables), standing(tables)
    drifted, compared = int(tables.drift["flagged"].sum()), int(tables.drift["value"].notna().sum())
    note = "by a model for their data"
    if counted.withheld:
        note = f"{counted.withheld} withheld"
    if counted.insisted:
        note += f", {counted.insisted} forced"
    cards = [
        KeyNumber("Patients predicted", str(counted.predicted), f"of {counted.given}", note),
        KeyNumber(
            "Values outside the training range",
            str(drifted),
            f"of {compared}",
            "see the difference from training below",
        ),
    ]
    if tables.labelled:
        return cards + applied_scores.score_cards(tables)
    single = sum(len(parted(text)) == 1 for text in rows["set"].fillna(""))
    note = f"prediction sets with a stated coverage of {level:.0%} that hold one class"
    return [*cards, KeyNumber("Patients with one class in their set", str(single), f"of {len(rows)}", note)]


def compatibility_table(compatibility: dict) -> Table:
    """What was checked, what came of it, why."""
    order = {"refused": 0, "withheld": 1, "warn": 2, "ok": 3}
    checks = sorted(compatibility["checks"], key=lambda check: order[check["status"]])
    rows = [(Cell(check["what"]), Cell(_STATUS_WORDS[check["status"]]), Cell(check["says"])) for check in checks]
    return Table(("Checked", "Result", "Reason"), tuple(rows))


def drift_by_site(drift: pd.DataFrame) -> Table:
    """Flagged of all values that are known, modalities in rows and sites in columns."""
    sites = list(drift["site"].unique())
    drift = drift[drift["value"].notna()]
    rows = []
    for modality, part in drift.groupby("modality", sort=False):
        cells = [Cell(applied_wording.MODALITY_WORDS.get(modality, modality).removeprefix("the "))]
        for site in sites:
            flags = part.loc[part["site"] == site, "flagged"]
            cells.append(
                Cell(f"{int(flags.sum())} of {len(flags)}", sort=float(flags.mean()), number=True)
                if len(flags)
                else number(None)
            )
        rows.append(tuple(cells))
    return Table(("What", *("all sites" if site == EVERYWHERE else str(site) for site in sites)), tuple(rows))


def drift_table(drift: pd.DataFrame) -> tuple[Table, int]:
    """Every value with its reference, flagged ones first, and how many rows were left out."""
    ordered = drift.sort_values("flagged", ascending=False, kind="stable")
    rows = [
        (
            Cell(row["modality"]), Cell(row["feature"]), Cell(row["site"]), number(row["value"], digits=3),
            Cell(f"{row['reference_low']:.3g} to {row['reference_high']:.3g}"),
            Cell(_range_word(row)), Cell(row["says"] or ""),
        )
        for row in ordered.head(MAX_DRIFT_ROWS).to_dict("records")
    ]  # fmt: skip
    columns = ("Modality", "Value", "Site", "Here", "In training", "Range", "Explanation")
    return Table(columns, tuple(rows)), max(0, len(drift) - MAX_DRIFT_ROWS)


def scanner_table(drift: pd.DataFrame) -> Table:
    """Per site the share of slides from scanners that training did not have, and what is known of the scanners."""
    rows = [
        (
            Cell("all sites" if row["site"] == EVERYWHERE else row["site"]), number(100 * row["value"], digits=0),
            Cell(_range_word(row)), Cell(row["says"]),
        )
        for row in drift[drift["feature"] == UNSEEN].to_dict("records")
    ]  # fmt: skip
    return Table(("Site", "Slides from scanners not in training, %", "Range", "Explanation"), tuple(rows))


def _range_word(row: Mapping[str, Any]) -> str:
    if np.isnan(row["value"]):
        return "unknown"
    return "outside" if row["flagged"] else "within"


def named_drifts(drift: pd.DataFrame) -> list[str]:
    """The first `NAMED_DRIFTS` values outside the range in words, of all sites together before those of one."""
    flagged = drift[drift["flagged"]].sort_values("site", key=lambda site: site != EVERYWHERE, kind="stable")
    return [
        f"{row['feature']} ({'all sites' if row['site'] == EVERYWHERE else row['site']}): {row['says']}"
        for row in flagged.head(NAMED_DRIFTS).to_dict("records")
        if row["says"]
    ]


def patients_table(tables: AppliedTables) -> Table:
    """The predicted class of every patient with its probability, conformal set and uncertainty; the first `MAX_PATIENT_ROWS`."""
    rows = []
    for row in leading(tables).head(views.MAX_PATIENT_ROWS).to_dict("records"):
        has = [word for word, present in (("image", row["has_image"]), ("RNA", row["has_expression"])) if present]
        truth = row["y_true"]
        right = truth is None or truth != truth or truth == row["called"]
        cells = [
            Cell(row["patient"]), Cell(_text(row["site"])), Cell(" and ".join(has)),
            Cell(row["called"] if right else f"{row['called']} ✗", _insisted(row)),
            number(row[f"p_{row['called']}"], digits=2),
            Cell(_text(row["set"])), Cell(_text(row["set_class"])), number(row["entropy"], digits=2), number(row["disagreement"], digits=3),
            Cell(tables.titles[row["model"]]),
        ]  # fmt: skip
        if tables.labelled:
            cells.insert(3, Cell(_text(truth)))
        rows.append(tuple(cells))
    columns = [
        "Patient", "Site", "Data", "Predicted class", "Probability", "Set", "Set by class", "Entropy, nats", "Disagreement",
    ]  # fmt: skip
    columns.append("Model")
    if tables.labelled:
        columns.insert(3, "True class")
    return Table(tuple(columns), tuple(rows))


def models_table(tables: AppliedTables) -> Table:
    """What every model predicted for each patient; the first `MAX_PATIENT_ROWS`."""
    calls = tables.predictions.set_index(["patient", "model"])
    rows = []
    for patient in sorted(tables.predictions["patient"].unique())[: views.MAX_PATIENT_ROWS]:
        cells = [Cell(patient)]
        for model in tables.titles:
            row = calls.loc[(patient, model)] if (patient, model) in calls.index else None
            if row is None or row["status"] not in GIVEN:
                cells.append(Cell("withheld" if row is not None and row["status"] == ABSTAINED else "–"))
            else:
                words = ", ".join(filter(None, [f"{row['p_' + row['called']]:.2f}", _insisted(row)]))
                cells.append(Cell(row["called"], words))
        rows.append(tuple(cells))
    return Table(("Patient", *tables.titles.values()), tuple(rows))


def without_table(tables: AppliedTables) -> Table:
    """Patients whom no model could be applied to, with the reasons."""
    rows = reading(tables)
    left = rows[~rows["patient"].isin(leading(tables)["patient"])]
    reasons = left.groupby("patient")["reason"].agg(lambda column: "; ".join(dict.fromkeys(map(_text, column))))
    return Table(("Patient", "Reason"), tuple((Cell(patient), Cell(reason)) for patient, reason in reasons.items()))


def coverage_table(tables: AppliedTables) -> Table:
    """Stated and measured coverage of the conformal sets."""
    rows = [
        (
            Cell(tables.titles[row["model"]]), Cell(SET_TITLES[row["kind"]]), Cell(row["scope"]),
            number(row["level"], digits=2),
            estimate(row, column="coverage", digits=2), number(row["mean_set_size"], digits=2),
            number(row["singletons"]), number(row["empty"]), number(row["n"]),
        )
        for row in tables.coverage.to_dict("records")
    ]  # fmt: skip
    columns = (
        "Model", "Thresholds", "Scope", "Stated coverage", "Measured coverage", "Classes per set", "Sets of one class",
        "Empty sets", "Patients",
    )  # fmt: skip
    return Table(columns, tuple(rows))


def _insisted(row: Mapping[str, Any] | pd.Series) -> str:
    return "forced" if row["status"] == INSISTED else ""


def _text(value: object) -> str:
    return "–" if value is None or (isinstance(value, float) and np.isnan(value)) or value == "" else str(value)
