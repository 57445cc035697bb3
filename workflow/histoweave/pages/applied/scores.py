"""How right an external cohort's predictions are: numbers that stand together, and what must be said before all else."""

from __future__ import annotations

import numpy as np
import pandas as pd

from histoweave.apply.statuses import GIVEN, INSISTED
from histoweave.pages.applied.calls import reasons, standing, withheld_reasons
from histoweave.pages.applied.inputs import AppliedTables
from histoweave.pages.kit.tables import KeyNumber, estimate

# In this order on the page: whether calls are right comes before whether probabilities are ordered.
SHOWN = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "auroc": "AUROC"}


def pooled(tables: AppliedTables) -> dict[str, pd.Series]:
    """The main model's pooled rows of the metrics in `SHOWN`."""
    rows = tables.metrics[(tables.metrics["model"] == tables.main) & (tables.metrics["scope"] == "pooled")]
    rows = rows.set_index("metric")
    return {metric: rows.loc[metric] for metric in SHOWN if metric in rows.index}


def insisted_on(tables: AppliedTables) -> str:
    """Words for scores of the main model in which predictions count that were insisted on; empty if none does."""
    rows = tables.predictions[(tables.predictions["model"] == tables.main) & tables.predictions["status"].isin(GIVEN)]
    n = int((rows["status"] == INSISTED).sum())
    return "" if not n else "forced predictions" if n == len(rows) else f"{n} forced predictions"


def score_cards(tables: AppliedTables) -> list[KeyNumber]:
    """Accuracy, balanced accuracy and AUROC, always together; a dash where nothing could be scored."""
    rows, title = pooled(tables), tables.titles[tables.main]
    note = ", ".join(filter(None, [title, insisted_on(tables)]))
    cards = []
    for metric, label in SHOWN.items():
        cell = estimate(rows.get(metric), digits=2)
        cards.append(KeyNumber(f"{label} here", cell.text, cell.small, note if metric in rows else "not scored"))
    return cards


def standing_words(tables: AppliedTables) -> str:
    """Who was predicted, who was not, and why."""
    counted = standing(tables)
    noun = "patient has" if counted.given == 1 else "patients have"
    words = f"{counted.predicted} of {counted.given} {noun} a prediction"
    if counted.withheld:
        found = withheld_reasons(tables).drop_duplicates("reason")
        several = len(found) > 1
        why = "; ".join(f"{row.reason} ({row.patients})" if several else row.reason for row in found.itertuples())
        words += f", {counted.withheld} withheld: {why}"
    if counted.unable:
        words += f"; {counted.unable} could not be predicted, because the data used by the models are missing"
    return f"{words}."


def warnings(tables: AppliedTables, level: float) -> list[str]:
    """What has to be known before any number is read, the gravest first; nothing where nothing is wrong."""
    counted, found = standing(tables), []
    if counted.withheld or counted.unable == counted.given:
        found.append(standing_words(tables))
    if n := int(tables.predictions.loc[tables.predictions["status"] == INSISTED, "patient"].nunique()):
        why = "; ".join(reasons(tables, INSISTED)["reason"])
        found.append(
            f"apply.insist is set, so {n} patients have predictions that would otherwise be withheld ({why}). Their "
            "probabilities are not calibrated, they have no prediction set, and all numbers below include them."
        )
    return [*found, *_calls_fail(tables), *_promise_broken(tables, level)]


def _calls_fail(tables: AppliedTables) -> list[str]:
    """A warning if predictions are correct less often than the most frequent class alone would be, beyond chance."""
    rows = pooled(tables)
    of_main = tables.predictions[(tables.predictions["model"] == tables.main)]
    truth = of_main.loc[of_main["status"].isin(GIVEN) & of_main["y_true"].isin(tables.classes), "y_true"]
    if (
        "accuracy" not in rows
        or truth.empty
        or not rows["accuracy"]["ci_high"] < truth.value_counts(normalize=True).max()
    ):
        return []
    share, row = truth.value_counts(normalize=True), rows["accuracy"]
    words = (
        f"{_start(tables.titles[tables.main])} predicts {row['estimate']:.0%} [{row['ci_low']:.0%}, {row['ci_high']:.0%}] of "
        f"the patients correctly, fewer than predicting {share.idxmax()} for every patient ({share.max():.0%})"
    )
    auroc = rows.get("auroc")
    if auroc is not None and auroc["ci_low"] > 0.5:
        words += (
            f". The AUROC of {auroc['estimate']:.2f} shows only that the ranking of the probabilities is informative; their "
            "level does not hold here, and neither do the predicted classes and sets"
        )
    return [f"{words}."]


def coverage_rows(tables: AppliedTables, level: float) -> list[dict]:
    """The main model's coverage at `level`, over all patients and of each class."""
    table = tables.coverage
    at_level = np.isclose(table["level"].astype(float), level)
    scope = table["scope"].eq("pooled") | table["scope"].str.startswith("class:")
    return table[(table["model"] == tables.main) & at_level & scope].to_dict("records")


def _promise_broken(tables: AppliedTables, level: float) -> list[str]:
    """A warning if sets contain the true class less often than stated, by their interval."""
    short: dict[str, list[str]] = {}
    for row in coverage_rows(tables, level):
        if row["ci_high"] < row["level"]:
            short.setdefault(_made(row), []).append(f"{_share(row)} of {_whom(row)}")
    return [
        f"The prediction sets{made} do not reach their stated coverage of {level:.0%} here: they contain the true class in "
        f"{', '.join(parts)}."
        for made, parts in short.items()
    ]


def class_coverage_words(tables: AppliedTables, level: float) -> list[str]:
    """For each class, in words, whether the sets reach their stated coverage."""
    found = []
    for row in coverage_rows(tables, level):
        if row["scope"] == "pooled":
            continue
        verdict = f"and the interval includes the stated {row['level']:.0%}"
        if row["ci_high"] < row["level"]:
            verdict = f"less often than the stated {row['level']:.0%}"
        elif row["ci_low"] > row["level"]:
            verdict = f"more often than the stated {row['level']:.0%}"
        found.append(
            f"{row['scope'].removeprefix('class:')}: the prediction sets{_made(row)} contain the true class in "
            f"{_share(row)} of {row['n']} patients, {verdict}."
        )
    return found


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def _share(row: dict) -> str:
    return f"{row['coverage']:.0%} [{row['ci_low']:.0%}, {row['ci_high']:.0%}]"


def _whom(row: dict) -> str:
    if row["scope"] == "pooled":
        return f"all {row['n']} patients"
    return f"the {row['n']} of {row['scope'].removeprefix('class:')}"


def _made(row: dict) -> str:
    """Whether the sets have one threshold per class, where the table says so."""
    return " with one threshold per class" if row.get("kind") == "class" else ""
