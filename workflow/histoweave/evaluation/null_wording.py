"""The negative control in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.null import MATCHED, MIN_SHUFFLES, PLAIN

BELOW = (
    "Values somewhat below 0.5 are expected and are no sign of a fault: a patient who is left out of the fitting takes its "
    "label along, so the training patients hold slightly more of the other classes and speak against that label."
)


def how_shuffled(how: Mapping[str, Any]) -> str:
    """One sentence on `control/shuffles.json`: who exchanged labels with whom."""
    fixed = f"{how['fixed']} of {how['patients']} patients"
    if how["within"] == "site" and how["fixed"]:
        return f"Labels are shuffled within sites; {fixed} keep theirs, because of sites with one class only ({how['one_class_sites']})."
    if how["within"] == "site":
        return "Labels are shuffled within sites."
    if how["sites"] < 2:
        return "Labels are shuffled among all patients: no two sites are known."
    return f"Labels are shuffled among all patients, not within sites: in the sites of {fixed} there is one class only."


def leak_finding(summary: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """One sentence: whether something of the test patients has reached the fitting of a model.

    summary : `control/summary.parquet`. titles : the models in plain words.
    """
    rows = summary[(summary["metric"] == MATCHED) & summary["mean_low"].notna()].set_index("model")
    if rows.empty:
        return "With shuffled labels there are too few comparable patients to tell whether something of the test patients leaks."
    leaks = rows[rows["leak"]]
    if leaks.empty:
        # Of those with the most shuffles, whose means are known best.
        model = rows.loc[rows["shuffles"] == rows["shuffles"].max(), "null_mean"].idxmax()
        return (
            "With shuffled labels no model ranks patients above chance (highest mean AUROC "
            f"{_mean(rows.loc[model])}, {titles.get(model, model)}): no sign of a leak."
        )
    named = "; ".join(f"{titles.get(model, model)}: mean AUROC {_mean(row)}" for model, row in leaks.iterrows())
    return (
        f"With shuffled labels there is nothing to learn, yet {len(leaks)} of {len(rows)} models "
        f"{'ranks' if len(leaks) == 1 else 'rank'} patients above chance ({named}): a leak. Something of the test patients "
        "has reached the fitting; do not use these results before it is found."
    )


def _mean(row: pd.Series) -> str:
    """Mean AUROC on shuffled labels, with its interval and the number of shuffles."""
    n = int(row["shuffles"])
    interval = f"[{row['mean_low']:.2f}, {row['mean_high']:.2f}]"
    return f"{row['null_mean']:.2f} {interval} in {n} shuffle{'s' if n > 1 else ''}"


def chance_finding(row: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """One sentence on a row `auroc` of the summary: its score against those on shuffled labels."""
    title, n = titles.get(row["model"], row["model"]), int(row["shuffles"])
    if np.isnan(row["p"]):
        return f"{title}: no AUROC to compare with shuffled labels."
    score, mean = f"AUROC {row['score']:.2f}", f"{row['null_mean']:.2f}"
    if n < MIN_SHUFFLES:
        times = "one shuffle" if n == 1 else f"{n} shuffles"
        return f"{title}: {score}; with shuffled labels {mean} ({times}, too few for a p value)."
    reached = round(row["p"] * (n + 1)) - 1
    spread = f"with shuffled labels {mean} on average, mostly {row['null_low']:.2f} to {row['null_high']:.2f}"
    count = "none" if not reached else str(reached)
    return f"{title}: {score}; {spread}; {count} of {n} shuffles {'reaches' if reached < 2 else 'reach'} it (p = {p_text(row['p'])})."


def p_text(p: float) -> str:
    """Two decimals, three below 0.1."""
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def chance_findings(summary: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    """`chance_finding` of every model of the summary."""
    return [chance_finding(row, titles) for row in summary[summary["metric"] == PLAIN].to_dict("records")]
