"""What applying a bundle to another cohort has shown, in plain words."""

from __future__ import annotations

import pandas as pd

from histoweave.evaluation.shown import estimate_text, promise_text
from histoweave.report.applied_inputs import AppliedTables

MODALITY_WORDS = {"image": "the images", "expression": "the RNA", "concepts": "the concepts", "slides": "the slides"}


def summary(tables: AppliedTables, *, trained_on: str, level: float) -> list[str]:
    """Up to six sentences: does the bundle fit, who got a prediction, how far the cohort lies off, what was right."""
    return [
        _compatibility(tables, trained_on),
        _predicted(tables),
        _drift(tables.drift),
        *(_scores(tables, level) if tables.labelled else [UNLABELLED]),
    ]


UNLABELLED = (
    "The patients have no labels, so nothing here says how often a call is right: drift and disagreement are the only "
    "warnings."
)


def _compatibility(tables: AppliedTables, trained_on: str) -> str:
    checks = tables.compatibility["checks"]
    refused, warned = ([check for check in checks if check["status"] == status] for status in ("refused", "warn"))
    if refused:
        return f"The bundle of {trained_on} does not fit this cohort: {_listed(check['what'] for check in refused)}."
    if warned:
        return (
            f"The bundle of {trained_on} can be applied, with {_counted(len(warned), 'reservation')}: "
            f"{_listed(check['what'] for check in warned)}."
        )
    return f"The bundle of {trained_on} fits this cohort in all {len(checks)} respects that were checked."


def _predicted(tables: AppliedTables) -> str:
    can = tables.predictions.assign(ok=tables.predictions["status"] == "ok").groupby("patient")["ok"].any()
    main = tables.predictions[(tables.predictions["model"] == tables.main) & (tables.predictions["status"] == "ok")]
    sentence = f"{int(can.sum())} of {_counted(len(can), 'patient')} got a prediction"
    if len(main) < can.sum():
        sentence += f", {len(main)} of them by {tables.titles[tables.main]} and the others by a model of what they have"
    return f"{sentence}."


def _drift(drift: pd.DataFrame) -> str:
    drift = drift[drift["value"].notna()]
    if drift.empty:
        return "How far the cohort lies from the training cohort could not be measured."
    flagged = drift[drift["flagged"]]
    if flagged.empty:
        return f"All {len(drift)} values that were compared lie within what the training cohort showed."
    shares = [
        f"{int(part['flagged'].sum())} of {len(part)} of {MODALITY_WORDS.get(modality, modality)}"
        for modality, part in drift.groupby("modality", sort=False)
        if part["flagged"].any()
    ]
    return (
        f"{len(flagged)} of the {len(drift)} values that were compared lie outside what the training cohort showed "
        f"({'; '.join(shares)}): where that is so, the training cohort's scores are no promise."
    )


def _scores(tables: AppliedTables, level: float) -> list[str]:
    metrics = tables.metrics
    found = metrics[
        (metrics["model"] == tables.main) & (metrics["metric"] == "auroc") & (metrics["scope"] == "pooled")
    ].dropna(subset="estimate")
    title = tables.titles[tables.main]
    if found.empty:
        sentences = [f"An AUROC of {title} could not be computed here."]
    else:
        row = found.iloc[0]
        reached = estimate_text(row["estimate"], row["ci_low"], row["ci_high"], against=0.5)
        sentences = [f"Against the labels, {title} reaches an AUROC of {reached} in {row['n']} patients."]
    coverage = tables.coverage
    rows = coverage[(coverage["model"] == tables.main) & (coverage["scope"] == "pooled")]
    return sentences + [covered(row) for row in rows.to_dict("records") if abs(row["level"] - level) < 1e-9]


def covered(row: dict) -> str:
    """Whether conformal sets kept their promise."""
    reached = estimate_text(
        row["coverage"], row["ci_low"], row["ci_high"], against=row["level"], digits=0, percent=True
    )
    start = (
        f"Sets that should hold the true class in {promise_text(row['level'])} of the patients do so in {reached} of "
        f"{row['n']}, with {row['mean_set_size']:.2f} classes on average"
    )
    if row["ci_high"] < row["level"]:
        return f"{start}: too seldom, so they cannot be taken at their word here."
    if row["ci_low"] > row["level"]:
        return f"{start}: more often than promised, so they are wider than they need be."
    return f"{start}: as promised, as far as so many patients can tell."


def _counted(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _listed(words) -> str:
    return ", ".join(words)
