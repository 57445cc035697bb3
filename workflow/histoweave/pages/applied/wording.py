"""What applying a bundle to another cohort has shown, in plain words."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from histoweave.apply.statuses import ABSTAINED
from histoweave.decide.class_sets import CLASS, MARGINAL
from histoweave.evaluation.shown import estimate_text, promise_text
from histoweave.pages.applied import scores as applied_scores
from histoweave.pages.applied.calls import leading, reasons, standing
from histoweave.pages.applied.inputs import AppliedTables

MODALITY_WORDS = {"image": "the images", "expression": "the RNA", "concepts": "the concepts", "slides": "the slides"}


def summary(tables: AppliedTables, *, trained_on: str, level: float) -> list[str]:
    """A few sentences: who was predicted, does the bundle fit, how far the cohort lies off, what was right."""
    return [
        _predicted(tables),
        _compatibility(tables, trained_on),
        *alignment(tables),
        _drift(tables.drift),
        *(_scores(tables, level) if tables.labelled else [UNSCORED if tables.has_labels else UNLABELLED]),
    ]


UNLABELLED = (
    "The patients have no labels, so the accuracy of the predictions is not known. Drift and disagreement are the only "
    "warning signs."
)
UNSCORED = "No patient with a label has a prediction, so nothing could be scored."


def _compatibility(tables: AppliedTables, trained_on: str) -> str:
    checks = tables.compatibility["checks"]
    refused, withheld, warned = (
        [check for check in checks if check["status"] == status] for status in ("refused", "withheld", "warn")
    )
    if refused:
        return f"The bundle of {trained_on} is not compatible with this cohort: {_listed(check['what'] for check in refused)}."
    if withheld:
        what = _listed(check["what"].partition(" ")[0] for check in withheld)
        return (
            f"The bundle of {trained_on} can read the data of this cohort, but values of some or all patients lie outside the "
            f"range of its training patients ({what})."
        )
    if warned:
        return (
            f"The bundle of {trained_on} can be applied, with {_counted(len(warned), 'reservation')}: "
            f"{_listed(check['what'] for check in warned)}."
        )
    return f"The bundle of {trained_on} is compatible with this cohort in all {len(checks)} checks."


def alignment(tables: AppliedTables) -> list[str]:
    """That the RNA was aligned, where it was."""
    says = tables.compatibility["alignment"]["says"]
    return [f"{says}."] if says else []


def _predicted(tables: AppliedTables) -> str:
    counted, calls = standing(tables), leading(tables)
    sentence = applied_scores.standing_words(tables)
    n = int((calls["model"] == tables.main).sum())
    if n < counted.predicted:
        sentence += (
            f" {n} were predicted by {tables.titles[tables.main]}, the others by a model for the data they have."
        )
    if counted.partly:
        why = "; ".join(reasons(tables, ABSTAINED, only=set(calls["patient"]))["reason"])
        sentence += f" For {counted.partly} of these patients, the predictions of other models are withheld: {why}."
    return sentence


def _drift(drift: pd.DataFrame) -> str:
    drift = drift[drift["value"].notna()]
    if drift.empty:
        return "The difference between this cohort and the training cohort could not be measured."
    flagged = drift[drift["flagged"]]
    if flagged.empty:
        return f"All {len(drift)} compared values lie within the range of the training cohort."
    shares = [
        f"{int(part['flagged'].sum())} of {len(part)} values of {MODALITY_WORDS.get(modality, modality)}"
        for modality, part in drift.groupby("modality", sort=False)
        if part["flagged"].any()
    ]
    return (
        f"{len(flagged)} of {len(drift)} compared values lie outside the range of the training cohort "
        f"({'; '.join(shares)}). For these, the scores of the training cohort may not hold."
    )


def _scores(tables: AppliedTables, level: float) -> list[str]:
    rows, title = applied_scores.pooled(tables), tables.titles[tables.main]
    known = {name: row for name, row in rows.items() if not pd.isna(row["estimate"])}
    if not known:
        sentences = [f"No prediction of {title} could be scored here."]
    else:
        insisted = applied_scores.insisted_on(tables)
        words = [f"{_NAMES[name]} of {_with_interval(row)}" for name, row in known.items()]
        sentences = [
            f"Compared with the labels of {next(iter(known.values()))['n']} patients, {title} reaches "
            f"{', '.join(words[:-1])}{' and ' if words[1:] else ''}{words[-1]}{f' ({insisted})' if insisted else ''}."
        ]
        if "auroc" not in known:
            sentences.append(f"An AUROC of {title} could not be computed here.")
    coverage = tables.coverage
    own = coverage[(coverage["model"] == tables.main) & (coverage["level"].sub(level).abs() < 1e-9)]
    rows = own[(own["scope"] == "pooled") & (own["kind"] == MARGINAL)]
    return sentences + [covered(row) for row in rows.to_dict("records")] + within_classes(own)


def within_classes(coverage: pd.DataFrame) -> list[str]:
    """How often the sets of each kind held the true class within each class; `coverage` of one model and level."""
    of_class = coverage[coverage["scope"].str.startswith("class:")]
    words = {
        MARGINAL: "Within each class, the sets contain the true class in",
        CLASS: "Sets with one threshold per class contain the true class in",
    }
    sentences = []
    for kind, start in words.items():
        rows = of_class[of_class["kind"] == kind].to_dict("records")
        shares = [
            f"{row['coverage']:.0%} [{row['ci_low']:.0%}, {row['ci_high']:.0%}] of {row['n']} "
            f"{row['scope'].removeprefix('class:')}"
            for row in rows
        ]
        short = [row["scope"].removeprefix("class:") for row in rows if row["ci_high"] < row["level"]]
        if shares:
            told = f": less often than stated for {_listed(short)}" if short else ""
            sentences.append(f"{start} {_listed(shares)}{told}.")
    return sentences


_NAMES = {"accuracy": "an accuracy", "balanced_accuracy": "a balanced accuracy", "auroc": "an AUROC"}


def _with_interval(row: pd.Series) -> str:
    interval = "" if pd.isna(row["ci_low"]) else f" [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    return f"{row['estimate']:.2f}{interval}"


def covered(row: dict) -> str:
    """Whether prediction sets reach their stated coverage."""
    reached = estimate_text(
        row["coverage"], row["ci_low"], row["ci_high"], against=row["level"], digits=0, percent=True
    )
    sets = "Prediction sets with one threshold per class" if row.get("kind") == "class" else "Prediction sets"
    start = (
        f"{sets} with a stated coverage of {promise_text(row['level'])} contain the true class in {reached} of "
        f"{row['n']} patients, with {row['mean_set_size']:.2f} classes on average"
    )
    if row["ci_high"] < row["level"]:
        return f"{start}: less often than stated, so they are not reliable here."
    if row["ci_low"] > row["level"]:
        return f"{start}: more often than stated, so they are larger than necessary."
    return f"{start}: the interval includes the stated coverage."


def _counted(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
