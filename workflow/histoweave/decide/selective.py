"""Selective prediction: how often a model errs if it answers only for the patients it is surest of.

Confidence is the calibrated probability of the called class. Risk at a coverage is the share of wrong calls among the
answered (El-Yaniv & Wiener 2010, JMLR 11:1605); AURC is its mean over the coverages (Geifman, Uziel & El-Yaniv 2019).
Patients with one confidence are answered together, since no threshold can part them.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd

from histoweave.evaluation.bounds import interval_within, unseen_share
from histoweave.evaluation.metrics import Function
from histoweave.evaluation.sample import Sample, probabilities
from histoweave.settings.evaluation import Evaluation

COVERAGES = (0.5, 0.8, 0.9, 1.0)
DROP_AT = 0.8
_ROUNDING = 1e-9


def _sweep(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answered and wrong weight (B, T), and the threshold (T,), at each distinct confidence, from the highest down."""
    confidence = p.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    descending, wrong = confidence[order], (p.argmax(axis=1) != y)[order]
    last_of_tie = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    w = w[:, order]
    return np.cumsum(w, axis=1)[:, last_of_tie], np.cumsum(w * wrong, axis=1)[:, last_of_tie], descending[last_of_tie]


def _risk(answered: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    return np.divide(wrong, answered, out=np.zeros_like(wrong), where=answered > 0)


def aurc(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Σ_t (w_t / w) risk_t over the distinct confidences t; without ties (1/n) Σ_k errors_k / k. (B,)"""
    answered, wrong, _ = _sweep(y, p, w)
    steps = np.diff(answered, axis=1, prepend=0)
    return (steps * _risk(answered, wrong)).sum(axis=1) / answered[:, -1]


def risk_at(y: np.ndarray, p: np.ndarray, w: np.ndarray, *, coverage: float) -> np.ndarray:
    """Risk at the highest threshold that answers for at least this share of the patients. (B,)"""
    answered, wrong, _ = _sweep(y, p, w)
    first = (answered >= coverage * answered[:, -1:] - _ROUNDING).argmax(axis=1)[:, None]
    return np.take_along_axis(_risk(answered, wrong), first, axis=1)[:, 0]


def risk_drop(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Risk for everybody minus risk at 80 % coverage: what not answering for the least sure avoids. (B,)"""
    return risk_at(y, p, w, coverage=1.0) - risk_at(y, p, w, coverage=DROP_AT)


METRICS: dict[str, Function] = {
    "aurc": aurc,
    **{f"risk_at_{coverage:g}": partial(risk_at, coverage=coverage) for coverage in COVERAGES},
    f"risk_drop_at_{DROP_AT:g}": risk_drop,
}


def selective(calibrated: pd.DataFrame, *, classes: list[str], settings: Evaluation, seed: int) -> pd.DataFrame:
    """`model`, `metric`, `estimate`, `ci_low`, `ci_high`, `n`: `METRICS` of each model, over patients."""
    tables = []
    for model, rows in calibrated.groupby("model", sort=False):
        sample = Sample.of(rows, classes)
        estimate, drawn = sample.bootstrap(METRICS, draws=settings.bootstrap, seed=seed)
        # Of the answered patients alone is known whether they are called right.
        answered = np.array([_answered(name, sample.n) for name in METRICS])
        low, high = interval_within(
            drawn,
            confidence=settings.confidence,
            room=unseen_share(answered, confidence=settings.confidence),
            within=(np.array([-1.0 if "drop" in name else 0.0 for name in METRICS]), 1.0),
        )
        columns = {"estimate": estimate, "ci_low": low, "ci_high": high, "n": sample.n}
        tables.append(pd.DataFrame({"model": model, "metric": list(METRICS), **columns}))
    return pd.concat(tables, ignore_index=True)


def _answered(name: str, n: int) -> int:
    """How many of n patients a metric's answers are for, at least."""
    shares = {f"risk_at_{coverage:g}": coverage for coverage in COVERAGES} | {f"risk_drop_at_{DROP_AT:g}": DROP_AT}
    return math.ceil(shares.get(name, 1.0) * n)


def risk_coverage(calibrated: pd.DataFrame, *, classes: list[str]) -> pd.DataFrame:
    """`model`, `coverage`, `risk`, `threshold` (least confidence that is answered), `n` (answered predictions), over
    the predictions of every repeat."""
    tables = []
    for model, rows in calibrated.groupby("model", sort=False):
        y = pd.Index(classes).get_indexer(rows["y_true"])
        answered, wrong, confidence = _sweep(y, probabilities(rows, classes), np.ones((1, len(rows))))
        columns = {"coverage": answered[0] / len(rows), "risk": _risk(answered, wrong)[0], "threshold": confidence}
        tables.append(pd.DataFrame({"model": model, **columns, "n": answered[0].astype(np.int64)}))
    return pd.concat(tables, ignore_index=True)
