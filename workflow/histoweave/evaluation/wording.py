"""The findings of a run in plain words. A difference counts only if its interval excludes 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from histoweave.evaluation.metrics import WORDS
from histoweave.evaluation.null_wording import leak_finding
from histoweave.evaluation.shown import estimate_text
from histoweave.fusion import catalog

MODALITY_WORDS = {catalog.IMAGE: "the image", catalog.EXPRESSION: "RNA"}

Row: TypeAlias = Mapping[str, Any] | pd.Series


def finding(row: Row, titles: Mapping[str, str]) -> str:
    """One sentence on a row of `comparisons` or `modality_use`; `titles` names the models in plain words."""
    return _use_finding(row, titles) if "modality" in row else _comparison_finding(row, titles)


def summary(
    comparisons: Sequence[Row],
    modality_use: pd.DataFrame,
    control: pd.DataFrame | None,
    *,
    model: str,
    titles: Mapping[str, str],
) -> list[str]:
    """Up to four sentences on the pooled AUROC beside the conclusion.

    In this order: whether the fusion model beats the untrained mean, whether it relies on each modality, and the
    negative control.

    Parameters
    ----------
    comparisons : differences of `model` to the others, with intervals that allow for the choice among models.
    control : its summary, None if there are none.
    model : the fusion model; empty where there is none, or none whose skill is a finding.
    titles : the models in plain words.
    """
    sentences = []
    if model:
        rows = [row for row in comparisons if row["model_b"] == "late_mean"]
        sentences += [_comparison_finding(row, titles) for row in rows]
        use = modality_use[(modality_use["metric"] == "auroc") & (modality_use["model"] == model)]
        sentences += [_use_finding(row, titles) for row in use.to_dict("records")]
    if control is not None:
        sentences.append(leak_finding(control, titles))
    return sentences


def _comparison_finding(row: Row, titles: Mapping[str, str]) -> str:
    a, b, metric = row["model_a"], row["model_b"], WORDS[row["metric"]]
    # A network on one modality is named after it; other models of one modality differ in method as well.
    if len(catalog.get(a).modalities) > 1 and b in catalog.MODALITIES:
        other = catalog.EXPRESSION if b == catalog.IMAGE else catalog.IMAGE
        subject = f"Adding {MODALITY_WORDS[other]} to {MODALITY_WORDS[b]} ({titles[a]} compared with {titles[b]})"
    else:
        subject = f"Using {titles[a]} instead of {titles[b]}"
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
    given = f"With {modality} of another patient, {titles[row['model']]}"
    if math.isnan(row["ci_low"]):
        return f"{given}: too few patients to tell whether it relies on {modality}."
    if row["metric"] == "mean_abs_change":
        moved = estimate_text(row["drop"], row["ci_low"], row["ci_high"])
        return f"{given} changes its probabilities by {moved} on average."
    if row["metric"] == "changed_calls":
        share = estimate_text(row["drop"], row["ci_low"], row["ci_high"], digits=0, percent=True)
        return f"{given} changes its predicted class in {share} of the patients."
    metric = WORDS[row["metric"]]
    if row["drop"] == row["ci_low"] == row["ci_high"] == 0:
        return f"{given} keeps exactly the same {metric}: it does not rely on {modality}."
    change = f"changes its {metric} by {estimate_text(-row['drop'], -row['ci_high'], -row['ci_low'], signed=True)}"
    if row["ci_low"] > 0:
        return f"{given} {change}: it relies on {modality}."
    if row["ci_high"] < 0:
        return f"{given} {change}: {modality} misleads it."
    return f"{given} {change}: no evidence that it relies on {modality}."
