"""The negative control in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.null import MATCHED, MIN_SHUFFLES, PLAIN

BELOW = (
    "Values slightly below 0.5 are expected and do not indicate an error: when a patient is left out of the fitting, the "
    "training patients contain slightly more of the other classes, so the model leans slightly against this patient's class."
)


def how_shuffled(how: Mapping[str, Any]) -> str:
    """One sentence on `control/shuffles.json`: who exchanged labels with whom."""
    fixed = f"{how['fixed']} of {how['patients']} patients"
    if how["within"] == "site" and how["fixed"]:
        return f"Labels are shuffled within sites; {fixed} keep their label, because of sites with only one class ({how['one_class_sites']})."
    if how["within"] == "site":
        return "Labels are shuffled within sites."
    if how["sites"] < 2:
        return "Labels are shuffled among all patients, because fewer than two sites are known."
    return f"Labels are shuffled among all patients, not within sites: {fixed} come from sites with only one class."


def leak_finding(summary: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """One sentence: whether something of the test patients has reached the fitting of a model.

    summary : `control/summary.parquet`. titles : the models in plain words.
    """
    rows = summary[(summary["metric"] == MATCHED) & summary["mean_low"].notna()].set_index("model")
    if rows.empty:
        return "With shuffled labels, there are too few comparable patients to test for a leak from test patients into the fitting."
    leaks = rows[rows["leak"]]
    if leaks.empty:
        # Of those with the most shuffles, whose means are known best.
        model = rows.loc[rows["shuffles"] == rows["shuffles"].max(), "null_mean"].idxmax()
        return (
            "With shuffled labels, no model ranks patients better than chance (highest mean AUROC "
            f"{_mean(rows.loc[model])}, {titles.get(model, model)}): no sign of a leak."
        )
    named = "; ".join(f"{titles.get(model, model)}: mean AUROC {_mean(row)}" for model, row in leaks.iterrows())
    return (
        f"With shuffled labels there is nothing to learn, yet {len(leaks)} of {len(rows)} models "
        f"{'ranks' if len(leaks) == 1 else 'rank'} patients better than chance ({named}). This is a leak: information on "
        "test patients has reached the fitting. Do not use these results until it is found."
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
    spread = f"with shuffled labels {mean} on average, mostly between {row['null_low']:.2f} and {row['null_high']:.2f}"
    count = "none" if not reached else str(reached)
    return f"{title}: {score}; {spread}; {count} of {n} shuffles {'reaches' if reached < 2 else 'reach'} it (p = {p_text(row['p'])})."


def p_text(p: float) -> str:
    """Two decimals, three below 0.1."""
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def chance_findings(summary: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    """`chance_finding` of every model of the summary."""
    return [chance_finding(row, titles) for row in summary[summary["metric"] == PLAIN].to_dict("records")]
