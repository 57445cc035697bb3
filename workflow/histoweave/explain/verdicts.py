"""What the tests of the explanations say, in numbers and in plain words."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.evaluation.shown import interval_text, value_text
from histoweave.explain.classes import weighted_means

COLUMNS = ["test", "modality", "order", "estimate", "ci_low", "ci_high", "n", "passed", "says"]
_THINGS = {"image": "tiles", "expression": "genes"}


def verdict(
    test: str, modality: str, order: str, *, estimate: float, ci_low: float, ci_high: float, n: int, chance: float = 0.0
) -> dict:
    """A row of `tests.parquet`. A test is passed if the whole interval lies above what chance gives."""
    passed, n = bool(ci_low > chance), int(n)
    if math.isnan(estimate):
        says = f"{_named(test, modality, order)}: no data to test it on."
    elif math.isnan(ci_low):
        says = f"{_named(test, modality, order)}: {estimate:.2f}, with too few patients ({n}) for an interval."
    else:
        # Both are printed so that the reader finds the bound where the verdict has found it.
        by_chance = value_text(chance, against=ci_low)
        interval = interval_text(ci_low, ci_high, against=float(by_chance), form="{} to {}")
        numbers = f"{value_text(estimate, against=float(by_chance) if passed else ())} ({interval}, {n} patients)"
        says = _SENTENCES[test](order, _THINGS[modality], numbers, passed, by_chance)
    values = {"estimate": estimate, "ci_low": ci_low, "ci_high": ci_high, "n": n}
    return {"test": test, "modality": modality, "order": order, **values, "passed": passed, "says": says}


def _named(test: str, modality: str, order: str) -> str:
    return _NAMES[test].format(order=order, things=_THINGS[modality])


def _gain(doing: str, change: str, order: str, things: str, numbers: str, passed: bool, chance: str) -> str:
    start = f"{doing} {things} in the order of {order}"
    faster = f"the probability of the predicted class faster than in random order, area between the curves {numbers}"
    if passed:
        return f"{start} {change}s {faster}: {order} is faithful here."
    return f"{start} is not shown to {change} {faster}: {order} is not faithful here."


def _stability(order: str, things: str, numbers: str, passed: bool, chance: str) -> str:
    start = f"The model of another fold ranks the {things} of a patient"
    if passed:
        return f"{start} similarly: rank correlation {numbers}."
    return f"{start} differently: rank correlation {numbers}, not shown to be above 0."


def _planted_tiles(order: str, things: str, numbers: str, passed: bool, chance: str) -> str:
    how = "ranks" if passed else "is not shown to rank"
    return (
        f"{order.capitalize()} {how} the tiles with the simulated signal above the other tiles of the same patient: AUROC "
        f"{numbers}, 0.50 by chance."
    )


def _planted_genes(order: str, things: str, numbers: str, passed: bool, chance: str) -> str:
    how = "lead" if passed else "are not shown to lead"
    return f"The genes with the simulated signal {how} the ranking by {order}: recall in the top 20 {numbers}, {chance} by chance."


_NAMES = {
    "deletion_gain": "Deletion test of {order} on {things}",
    "insertion_gain": "Insertion test of {order} on {things}",
    "stability": "Agreement between folds on {things}",
    "planted_tiles_auroc": "AUROC of {order} for the tiles with the simulated signal",
    "planted_genes_recall": "Recall of {order} for the genes with the simulated signal",
}
_SENTENCES: dict[str, Callable[[str, str, str, bool, str], str]] = {
    "deletion_gain": partial(_gain, "Removing", "lower"), "insertion_gain": partial(_gain, "Putting back", "raise"),
    "stability": _stability,
    "planted_tiles_auroc": _planted_tiles, "planted_genes_recall": _planted_genes,
}  # fmt: skip


def over_patients(values: np.ndarray, *, draws: int, confidence: float, seed: int) -> dict[str, Any]:
    """Mean of (n,) with its bootstrap interval: `estimate`, `ci_low`, `ci_high`, `n`; patients with NaN do not count."""
    values = values[~np.isnan(values)]
    if not len(values):
        return dict.fromkeys(("estimate", "ci_low", "ci_high"), math.nan) | {"n": 0}
    (estimate,), drawn = bootstrap(weighted_means(values[:, None]), len(values), draws=draws, seed=seed)
    (low,), (high,) = interval(drawn, confidence=confidence)
    return {"estimate": float(estimate), "ci_low": float(low), "ci_high": float(high), "n": len(values)}


def table_of_tests(
    gains: pd.DataFrame, stability: pd.DataFrame, planted: list[dict], **bootstrap_of: Any
) -> pd.DataFrame:
    """`tests.parquet`.

    Parameters
    ----------
    gains : as `gains.gains` returns it. stability : `patient`, `modality`, `spearman`.
    planted : further rows of `verdict`. bootstrap_of : `draws`, `confidence`, `seed`.
    """
    rows = []
    for (direction, modality, order), part in gains.groupby(["direction", "modality", "order"]):
        found = over_patients(part["gain"].to_numpy(), **bootstrap_of)
        rows.append(verdict(f"{direction}_gain", modality, order, **found))
    for modality, part in stability.groupby("modality"):
        found = over_patients(part["spearman"].to_numpy(np.float64), **bootstrap_of)
        rows.append(verdict("stability", modality, "attribution", **found))
    table = pd.DataFrame([*rows, *planted], columns=COLUMNS)
    return table.astype({"estimate": float, "ci_low": float, "ci_high": float, "n": "int64", "passed": bool})
