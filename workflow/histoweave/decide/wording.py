"""What the decision tables say, in plain words. A difference counts only if its interval excludes 0."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from histoweave.decide.class_sets import CLASS, MARGINAL
from histoweave.decide.conformal import always_inside, class_counts, least_patients
from histoweave.decide.selective import DROP_AT
from histoweave.evaluation.bootstrap import MIN_PATIENTS
from histoweave.evaluation.metrics import WORDS
from histoweave.evaluation.shown import estimate_text, interval_text, promise_text

NOTHING = 0.005  # rounds to 0.00
FAR = 2  # patients more per patient now, beyond which a curve is not believed
MIN_SPAN = 5  # thresholds in a row; a shorter stretch is chance as often as not
Row: TypeAlias = Mapping[str, Any] | pd.Series


def findings(tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> pd.DataFrame:
    """`topic`, `model`, `says`: one sentence per model and topic (of sets: and level), by topic.

    Parameters
    ----------
    tables : `temperatures`, `calibration`, `conformal_scores`, `conformal`, `selective`, `decision_curve`,
        `subgroup_differences`.
    titles : model → plain words.
    """
    rows: list[tuple[str, str, str]] = []
    for model, table in tables["calibration"].groupby("model", sort=False):
        own = tables["temperatures"][tables["temperatures"]["model"] == model]
        rows.append(("calibration", model, calibration_finding(table.set_index("metric"), own, titles[model])))
    covered = tables["conformal"]
    pooled = covered[(covered["scope"] == "pooled") & (covered["kind"] == MARGINAL)]
    rows += [
        ("conformal", row["model"], conformal_finding(row, titles[row["model"]])) for row in pooled.to_dict("records")
    ]
    for (model, level), table in covered.groupby(["model", "level"], sort=False):
        own = tables["conformal_scores"][tables["conformal_scores"]["model"] == model]
        rows.append(("conformal_class", model, class_finding(table, own, level, titles[model])))
    for model, table in tables["selective"].groupby("model", sort=False):
        rows.append(("selective", model, selective_finding(table.set_index("metric"), titles[model])))
    curves = tables["decision_curve"][tables["decision_curve"]["model"].isin(titles)]
    for (model, label), table in curves.groupby(["model", "class"], sort=False):
        rows.append(("decision_curve", model, decision_finding(table, label, titles[model])))
    for model, table in tables["subgroup_differences"].groupby("model", sort=False):
        rows.append(("subgroups", model, subgroup_finding(table, titles[model])))
    return pd.DataFrame(rows, columns=["topic", "model", "says"], dtype=object)


def calibration_finding(metrics: pd.DataFrame, temperatures: pd.DataFrame, title: str) -> str:
    """One sentence on the log loss before and after; `metrics` is indexed by metric."""
    unfitted = temperatures["reason"] != ""
    kept = (
        f" In {unfitted.sum()} of {len(temperatures)} folds no temperature could be fitted." if unfitted.any() else ""
    )
    row = metrics.loc["log_loss"]
    if row["difference"] == 0 and (unfitted & (temperatures["temperature"] == 1)).all():
        return f"{_start(title)} keeps its probabilities unchanged: {temperatures['reason'].iloc[0]}."
    if math.isnan(row["ci_low"]):
        return f"{_start(title)}: too few patients to tell whether temperature scaling helps.{kept}"
    moved = estimate_text(row["difference"], row["ci_low"], row["ci_high"], signed=True, digits=3)
    change = f"log loss {row['before']:.3f} → {row['after']:.3f}, {moved}"
    if row["ci_high"] < 0:
        verdict = "temperature scaling improves the probabilities"
    elif row["ci_low"] > 0:
        verdict = "temperature scaling makes the probabilities worse"
    else:
        verdict = "no evidence that temperature scaling improves the probabilities"
    return f"{_start(title)}: {verdict} ({change}).{kept}"


def conformal_finding(row: Row, title: str) -> str:
    """One sentence on the measured coverage of the sets at a level."""
    level, n = row["level"], int(row["n"])
    if row["ci_high"] < level:
        verdict = "less often than stated"
    elif row["ci_low"] > level:
        verdict = "more often than stated, so the sets are larger than necessary"
    else:
        verdict = "and the interval includes the stated coverage"
    reached = estimate_text(row["coverage"], row["ci_low"], row["ci_high"], against=level, digits=0, percent=True)
    return (
        f"Prediction sets of {title} with a stated coverage of {promise_text(level)} contain the true class in {reached} "
        f"of {n} patients, {verdict}. A set holds {row['mean_set_size']:.2f} classes on average; "
        f"{row['singletons'] / n:.0%} of the sets hold one class and {row['empty'] / n:.0%} are empty."
    )


def class_finding(coverage: pd.DataFrame, scores: pd.DataFrame, level: float, title: str) -> str:
    """Sentences on the measured coverage within each class, of sets with one threshold and with one for each class.

    Parameters
    ----------
    coverage : rows of `conformal.parquet` of one model and level. scores : rows of `conformal_scores.parquet` of the model.
    """
    of_class = coverage[coverage["scope"].str.startswith("class:")].copy()
    of_class["class"] = of_class["scope"].str.removeprefix("class:")
    one, own = (of_class[of_class["kind"] == kind] for kind in (MARGINAL, CLASS))
    size = coverage.loc[(coverage["kind"] == CLASS) & (coverage["scope"] == "pooled"), "mean_set_size"].iloc[0]
    shares, counted = ([_share(row) for row in table.to_dict("records")] for table in (own, one))
    counted = [
        f"{share} of {row['n']} {row['class']}" for share, row in zip(counted, one.to_dict("records"), strict=True)
    ]
    says = (
        f"Within each class, prediction sets of {title} with a stated coverage of {level:.0%} contain the true class in "
        f"{_and(counted)} patients. With one threshold per class, they do so in {_and(shares)}, with {size:.2f} classes on "
        "average."
    )
    if lacking := one.loc[one["ci_high"] < level, "class"].tolist():
        says += (
            f" With one threshold for all, {_and(lacking)} {_are(lacking)} covered less often than stated: see the sets with "
            "one threshold per class."
        )
    if lacking := own.loc[own["ci_high"] < level, "class"].tolist():
        says += (
            f" With one threshold per class, {_and(lacking)} {_are(lacking)} covered less often than stated as well."
        )
    few = always_inside(class_counts(scores, one["class"].tolist()), one["class"].tolist(), level)
    if few:
        named = _and([f"{label} ({n} in the other folds)" for label, n in few.items()])
        says += (
            f" A coverage of {level:.0%} needs {least_patients(level)} patients of a class: {named} {_are(few)} therefore in "
            "every set with one threshold per class."
        )
    return says


def selective_finding(metrics: pd.DataFrame, title: str) -> str:
    """One sentence on the error rate without the least certain predictions; `metrics` is indexed by metric."""
    drop, some, everybody = (
        metrics.loc[name] for name in (f"risk_drop_at_{DROP_AT}", f"risk_at_{DROP_AT}", "risk_at_1")
    )
    answering = f"If {title} predicts only the {DROP_AT:.0%} of patients it is most certain about"
    if math.isnan(drop["ci_low"]):
        return f"{answering}: too few patients to tell whether its error rate falls."
    low, high = some["ci_low"], some["ci_high"]
    interval = interval_text(low, high, digits=0, percent=True)
    change = f"its error rate is {some['estimate']:.0%} {interval}, compared with {everybody['estimate']:.0%} for all patients"
    verdict = "" if drop["ci_low"] > 0 else ": no evidence that low confidence indicates errors"
    return f"{answering}, {change}{verdict}."


def decision_finding(curve: pd.DataFrame, label: str, title: str) -> str:
    """One sentence on the thresholds, at least five in a row, at which acting on the model beats acting on all and on
    none."""
    if curve["advantage_low"].isna().all():
        return (
            f"Acting on {title} for {label}: too few patients to tell whether this is better than treating all patients or "
            "none."
        )
    better = curve["advantage_low"].to_numpy() > 0
    edges = np.flatnonzero(np.diff(better, prepend=False, append=False)).reshape(-1, 2)
    at = curve["threshold"].to_numpy()
    spans = ", ".join(f"{at[first]:.2f}–{at[end - 1]:.2f}" for first, end in edges if end - first >= MIN_SPAN)
    if not spans:
        return (
            f"There is no range of thresholds at which acting on {title} for {label} is shown to be better than treating all "
            "patients or none."
        )
    return (
        f"Acting on {title} for {label} is better than treating all patients or none at thresholds {spans} (each interval "
        "holds for one threshold by itself)."
    )


def subgroup_finding(differences: pd.DataFrame, title: str) -> str:
    """One sentence on how many groups differ from the others, of how many; the intervals are simultaneous.

    Groups of fewer than ten patients and intervals of width zero do not count.
    """
    known = differences.dropna(subset=["ci_low"])
    # Draws that all give the same say nothing of chance.
    known = known[(known["ci_high"] > known["ci_low"]) & (known["n"] >= MIN_PATIENTS)]
    if known.empty:
        return f"{_start(title)}: too few patients to compare groups."
    clear = known[(known["ci_low"] > 0) | (known["ci_high"] < 0)]
    told = (
        f"{_start(title)}: {len(clear) or 'none'} of {len(known)} differences between a group and the other patients "
        f"{'excludes' if len(clear) < 2 else 'exclude'} 0 (simultaneous intervals)"
    )
    if clear.empty:
        return f"{told}: no evidence that it performs better or worse in any group."
    row = clear.loc[clear["difference"].abs().idxmax()]
    largest = (
        f"{row['column']} '{row['group']}', {WORDS[row['metric']]} "
        f"{estimate_text(row['difference'], row['ci_low'], row['ci_high'], signed=True)}"
    )
    return f"{told}. The largest: {largest}."


def learning_finding(row: Row, titles: Mapping[str, str]) -> str:
    """One sentence on what the next patients are expected to bring.

    The interval does not hold the luck of the training, so a claim must also survive the law's misfit to the scores.
    """
    title, metric, more = titles[row["model"]], WORDS[row["metric"]], row["n_more"]
    subject = f"{more} more training patients for {title} (now {row['n_now']:.0f})"
    if math.isnan(row["expected_gain"]):
        return f"{subject}: the effect on {metric} cannot be estimated from a curve of fewer than three sizes."
    if math.isnan(row["gain_low"]):
        return f"{subject}: too few scored patients to estimate the effect on {metric}."
    gain = estimate_text(row["expected_gain"], row["gain_low"], row["gain_high"], signed=True)
    if row["gain_high"] + row["misfit"] < NOTHING and more <= FAR * row["n_now"]:
        return f"{subject} would hardly change {metric}: {gain}, now {row['now']:.2f}."
    strays = f" (scores deviate by up to {row['misfit']:.2f} from the curve)" if row["misfit"] >= NOTHING else ""
    far = (
        " (this number is too far beyond the patients that the curve was measured on)"
        if more > FAR * row["n_now"]
        else ""
    )
    if row["gain_low"] - row["misfit"] < NOTHING or far:
        unsure = f"the data do not show whether {metric} (now {row['now']:.2f}) would improve"
        return f"{subject}: {unsure}. Expected change: {gain}{far or strays}."
    return f"{subject} are expected to raise {metric} (now {row['now']:.2f}) by {gain}, if the curve continues in the same way."


def _start(title: str) -> str:
    return title[:1].upper() + title[1:]


def _are(names: Collection[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _share(row: Row) -> str:
    return estimate_text(
        row["coverage"], row["ci_low"], row["ci_high"], against=row["level"], digits=0, percent=True
    )  # fmt: skip


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
