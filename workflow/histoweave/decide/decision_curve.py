"""Decision curves: is acting on the model better than acting on everybody, or on nobody?

Net benefit at a threshold t (Vickers & Elkin 2006, Med Decis Making 26:565): TP/n − FP/n · t / (1 − t), where t is the
probability of the class from which one would act. It counts true positives, less the false ones at the price that t
implies. Treating nobody has 0, treating everybody prevalence − (1 − prevalence) · t / (1 − t).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import interval
from histoweave.evaluation.metrics import weighted_mean
from histoweave.evaluation.sample import Sample
from histoweave.settings.evaluation import Evaluation

THRESHOLDS = np.arange(1, 100) / 100
_PRICE = THRESHOLDS / (1 - THRESHOLDS)
COLUMNS = [
    "model", "class", "threshold", "net_benefit", "ci_low", "ci_high",
    "advantage", "advantage_low", "advantage_high", "n",
]  # fmt: skip


def net_benefit(y: np.ndarray, p: np.ndarray, w: np.ndarray, *, code: int) -> np.ndarray:
    """Net benefit of acting where p of class `code` is at least the threshold, (B, 99)."""
    acted = p[:, [code]] >= THRESHOLDS
    is_case = (y == code)[:, None]
    return (w @ (acted & is_case) - (w @ (acted & ~is_case)) * _PRICE) / w.sum(axis=1, keepdims=True)


def treat_all(y: np.ndarray, p: np.ndarray, w: np.ndarray, *, code: int) -> np.ndarray:
    """Net benefit of acting on everybody, (B, 99)."""
    prevalence = weighted_mean((y == code).astype(float), w)[:, None]
    return prevalence - (1 - prevalence) * _PRICE


def decision_curve(calibrated: pd.DataFrame, *, classes: list[str], settings: Evaluation, seed: int) -> pd.DataFrame:
    """Net benefit of every model, of `treat_all` and `treat_none`, per class against the rest (of two classes the
    positive one), with intervals over patients.

    Returns
    -------
    `COLUMNS`. `advantage` is the net benefit minus that of the better of treating all and none, drawn with it; NaN for
    these two.
    """
    tables = []
    samples = {model: Sample.of(rows, classes) for model, rows in calibrated.groupby("model", sort=False)}
    decided = [(code, label) for code, label in enumerate(classes) if code or len(classes) > 2]
    for code, label in decided:
        for position, (model, sample) in enumerate(samples.items()):
            both = {"model": partial(net_benefit, code=code), "all": partial(treat_all, code=code)}
            estimate, drawn = sample.bootstrap(both, draws=settings.bootstrap, seed=seed)
            both_estimates, both_drawn = np.split(estimate, 2), np.split(drawn, 2, axis=1)
            advantage = [values[0] - np.maximum(values[1], 0) for values in (both_estimates, both_drawn)]
            given: dict[str, Any] = {"label": label, "n": sample.n, "confidence": settings.confidence}
            if position == 0:  # the pooled patients are the same for every model
                tables.append(_rows("treat_all", both_estimates[1], both_drawn[1], **given))
                tables.append(_rows("treat_none", 0 * both_estimates[1], 0 * both_drawn[1], **given))
            low, high = interval(advantage[1], confidence=settings.confidence)
            own = {"advantage": advantage[0], "advantage_low": low, "advantage_high": high}
            tables.append(_rows(model, both_estimates[0], both_drawn[0], **given).assign(**own))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _rows(
    model: str, estimate: np.ndarray, drawn: np.ndarray, *, label: str, n: int, confidence: float
) -> pd.DataFrame:
    low, high = interval(drawn, confidence=confidence)
    columns = {"net_benefit": estimate, "ci_low": low, "ci_high": high}
    table = pd.DataFrame({"model": model, "class": label, "threshold": THRESHOLDS, **columns, "n": n})
    return table.assign(advantage=np.nan, advantage_low=np.nan, advantage_high=np.nan)
