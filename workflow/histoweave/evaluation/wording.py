"""The findings of a run in plain words. A difference counts only if its interval excludes 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from histoweave.evaluation.shown import estimate_text, interval_text
from histoweave.fusion import catalog

METRIC_WORDS = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro F1",
}
MODALITY_WORDS = {catalog.IMAGE: "the image", catalog.EXPRESSION: "RNA"}

Row = Mapping[str, Any] | pd.Series


def finding(row: Row, titles: Mapping[str, str]) -> str:
    """One sentence on a row of `comparisons` or `modality_use`; `titles` names the models in plain words."""
    return _use_finding(row, titles) if "modality" in row else _comparison_finding(row, titles)


def summary(
    metrics: pd.DataFrame,
    comparisons: pd.DataFrame,
    modality_use: pd.DataFrame,
    control: pd.DataFrame | None,
    *,
    titles: Mapping[str, str],
) -> list[str]:
    """Up to six sentences on the pooled AUROC.

    In this order: the best model of one modality, whether fusion beats it, whether fusion beats the untrained
    mean, whether fusion relies on each modality, and the negative control (`control`: the metrics on shuffled
    labels, None if there are none). The fusion model is the last of `titles` that reads both modalities:
    chosen by its place, never by its result.
    """
    scores = _pooled_auroc(metrics)
    models = [model for model in titles if model in scores.index]
    single = scores.loc[[m for m in models if len(catalog.get(m).modalities) == 1]].dropna(subset="estimate")
    fused = [m for m in models if len(catalog.get(m).modalities) > 1]
    sentences, rivals = [], []
    if len(single):
        best = single["estimate"].idxmax()
        rivals.append(best)
        sentences.append(
            f"Of the models that read one modality, {titles[best]} does best: AUROC "
            f"{single.loc[best, 'estimate']:.2f} {_interval(single.loc[best])} in "
            f"{single.loc[best, 'n']} patients."
        )
    if fused:
        fusion = fused[-1]
        if "late_mean" in fused[:-1]:
            rivals.append("late_mean")
        sentences += [_comparison_finding(_pair(comparisons, fusion, rival), titles) for rival in rivals]
        use = modality_use[(modality_use["metric"] == "auroc") & (modality_use["model"] == fusion)]
        sentences += [_use_finding(row, titles) for row in use.to_dict("records")]
    else:
        sentences.append("No model of this run reads both modalities, so it says nothing about fusion.")
    if control is not None:
        sentences.append(_control_finding(control, titles))
    return sentences


def _pooled_auroc(metrics: pd.DataFrame) -> pd.DataFrame:
    return metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == "auroc")].set_index("model")


def _pair(comparisons: pd.DataFrame, a: str, b: str) -> dict[str, Any]:
    """The AUROC comparison of `a` against `b`, turned round where the table holds `b` against `a`."""
    auroc = comparisons[comparisons["metric"] == "auroc"].set_index(["model_a", "model_b"])
    if (a, b) in auroc.index:
        row = auroc.loc[(a, b)].to_dict()
    else:
        turned = auroc.loc[(b, a)]
        row = {"metric": "auroc", "difference": -turned["difference"], "n": turned["n"]}
        row |= {"ci_low": -turned["ci_high"], "ci_high": -turned["ci_low"]}
    return {"model_a": a, "model_b": b, **row}


def _comparison_finding(row: Row, titles: Mapping[str, str]) -> str:
    a, b, metric = row["model_a"], row["model_b"], METRIC_WORDS[row["metric"]]
    # A network on one modality is named after it; other models of one modality differ in method as well.
    if len(catalog.get(a).modalities) > 1 and b in catalog.MODALITIES:
        other = catalog.EXPRESSION if b == catalog.IMAGE else catalog.IMAGE
        subject = f"Adding {MODALITY_WORDS[other]} to {MODALITY_WORDS[b]} ({titles[a]} against {titles[b]})"
    else:
        subject = f"Choosing {titles[a]} over {titles[b]}"
    if math.isnan(row["ci_low"]):
        return f"{subject}: too few patients to tell whether {metric} changes."
    amount = f"by {estimate_text(row['difference'], row['ci_low'], row['ci_high'], signed=True)}"
    if row["ci_low"] > 0:
        return f"{subject} improves {metric} {amount}."
    if row["ci_high"] < 0:
        return f"{subject} makes {metric} worse, {amount}."
    return f"{subject} changes {metric} {amount}: no evidence that it helps."


def _use_finding(row: Row, titles: Mapping[str, str]) -> str:
    modality = MODALITY_WORDS[row["modality"]]
    given = f"Given {modality} of another patient, {titles[row['model']]}"
    if math.isnan(row["ci_low"]):
        return f"{given}: too few patients to tell whether it relies on {modality}."
    if row["metric"] == "mean_abs_change":
        moved = estimate_text(row["drop"], row["ci_low"], row["ci_high"])
        return f"{given} moves its probabilities by {moved} on average."
    if row["metric"] == "changed_calls":
        share = estimate_text(row["drop"], row["ci_low"], row["ci_high"], digits=0, percent=True)
        return f"{given} changes its call in {share} of the patients."
    metric = METRIC_WORDS[row["metric"]]
    if row["drop"] == row["ci_low"] == row["ci_high"] == 0:
        return f"{given} keeps exactly the same {metric}: it does not rely on {modality}."
    change = f"changes its {metric} by {estimate_text(-row['drop'], -row['ci_high'], -row['ci_low'], signed=True)}"
    if row["ci_low"] > 0:
        return f"{given} {change}: it relies on {modality}."
    if row["ci_high"] < 0:
        return f"{given} {change}: {modality} misleads it."
    return f"{given} {change}: no evidence that it relies on {modality}."


def _control_finding(control: pd.DataFrame, titles: Mapping[str, str]) -> str:
    scores = _pooled_auroc(control).dropna(subset=["ci_low"])
    if scores.empty:
        return "With shuffled labels there are too few patients to tell whether the AUROC is 0.5."
    misses = scores[(scores["ci_low"] > 0.5) | (scores["ci_high"] < 0.5)]
    if misses.empty:
        return "With shuffled labels every model's AUROC interval covers 0.5, as it must: no sign of a leak."
    named = ", ".join(f"{titles[m]} {_interval(row)}" for m, row in misses.iterrows())
    return (
        f"With shuffled labels the AUROC interval of {len(misses)} of {len(scores)} models misses 0.5 "
        f"({named}): chance does this now and then, a leak always; find out which before trusting a result."
    )


def _interval(row: Row) -> str:
    """The interval of an AUROC; digits tell whether it holds 0.5."""
    return interval_text(row["ci_low"], row["ci_high"], against=0.5)
