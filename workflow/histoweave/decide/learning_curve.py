"""The learning curve: scores over the number of patients, and what the next ones are expected to bring."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

import numpy as np
import pandas as pd

from histoweave.decide import power_law
from histoweave.decide.wording import learning_finding
from histoweave.evaluation.bootstrap import bootstrap
from histoweave.evaluation.bounds import interval_within, metric_intervals, metric_rooms, without_width
from histoweave.evaluation.evaluate import pooled_scope
from histoweave.evaluation.metrics import METRICS
from histoweave.evaluation.sample import Sample
from histoweave.settings.evaluation import Evaluation

SCORED = {name: METRICS[name] for name in ("auroc", "average_precision", "accuracy")}
CURVE_TYPES = {
    "model": "str", "n_train": "float64", "share": "float64", "repeat": "int64", "metric": "str",
    "estimate": "float64", "ci_low": "float64", "ci_high": "float64",
}  # fmt: skip
FIT_TYPES = {
    "model": "str", "metric": "str", **dict.fromkeys(("a", "b", "c", "n_now", "now"), "float64"), "n_more": "int64",
    **dict.fromkeys(("expected_gain", "gain_low", "gain_high", "misfit"), "float64"), "says": "str",
}  # fmt: skip


def with_full(parts: Iterable[pd.DataFrame], full: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The folds of a model's curve: test rows on each share, and those of the full fit as share 1.

    Parameters
    ----------
    parts : of `learning_fold`, one per fold. full : `predictions.parquet` of the same folds.
    """
    tables = list(parts)
    for table in full:
        test = table[table["role"] == "test"]
        tables.append(test.assign(share=1.0, n_fit=int((table["role"] != "test").sum())))
    return pd.concat(tables, ignore_index=True)


def learning(
    curves: dict[str, pd.DataFrame],
    *,
    classes: list[str],
    modalities: Collection[str],
    more_patients: int,
    titles: dict[str, str],
    settings: Evaluation,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores per share, and the fitted law with the expected gain.

    Parameters
    ----------
    curves : model → as of `with_full`.
    modalities : those of the run's models; patients who lack one are left out, as in the evaluation's pooled scope.

    Returns
    -------
    The tables `learning` (one row per model, share, repeat and metric; `n_train` is the mean over folds of the
    patients that a fit was given, training and validation together) and `learning_fit`: the law through the means over
    repeats, `now` the score measured at `n_now` patients, the gain that the law expects of `n_more` patients more (at
    most 1 − `now`), its interval over draws of test patients (or of their clusters), the same in every share, and `misfit`, the
    largest distance of a score from the law. Where fewer than 10 patients are
    scored, or the law cannot be identified, the interval is NaN.
    """
    scores, fits = [], []
    for model, rows in curves.items():
        rows = rows[pooled_scope(rows, modalities)]
        for (share, repeat), part in rows.groupby(["share", "repeat"]):
            sample = Sample.of(part, classes)
            values = sample.bootstrap(SCORED, draws=settings.bootstrap, seed=seed)
            low, high = metric_intervals(
                sample, values[1], n_classes=len(classes), confidence=settings.confidence, names=list(SCORED)
            )
            head = {"model": model, "n_train": _size(part), "share": share, "repeat": repeat, "metric": list(SCORED)}
            scores.append(pd.DataFrame({**head, "estimate": values[0], "ci_low": low, "ci_high": high}))
        fits += _fits(model, rows, classes, more=more_patients, titles=titles, settings=settings, seed=seed)
    return _table(scores, CURVE_TYPES), _table([pd.DataFrame(fits)] if fits else [], FIT_TYPES)


def _size(rows: pd.DataFrame) -> float:
    return float(rows.drop_duplicates(["repeat", "fold"])["n_fit"].mean())


def _fits(
    model: str,
    rows: pd.DataFrame,
    classes: list[str],
    *,
    more: int,
    titles: dict[str, str],
    settings: Evaluation,
    seed: int,
) -> list[dict]:
    """A row of `learning_fit` per metric."""
    parts = [part for _, part in rows.groupby("share")]
    sizes = np.array([_size(part) for part in parts])
    samples = [Sample.of(part, classes) for part in parts]

    def scores(w: np.ndarray, metric: str) -> np.ndarray:
        return np.column_stack([sample.score({metric: SCORED[metric]}, w) for sample in samples])

    found = []
    for metric in SCORED:
        own = partial(scores, metric=metric)
        estimate, drawn = bootstrap(
            own, samples[0].n, draws=settings.bootstrap, seed=seed, clusters=samples[0].clusters
        )
        law, laws = power_law.fit(sizes, estimate[None]), power_law.fit(sizes, drawn)
        now = float(sizes[-1])
        # No score passes 1, wherever the curve runs: the gain ends at what the full fit leaves to gain.
        gain = np.minimum(law(now + more) - law(now), 1 - estimate[-1])
        gains = np.minimum(laws(now + more) - laws(now), 1 - drawn[:, -1])
        # A flat law expects no gain; scores that no draw changes do not tell that there is none.
        known = metric_rooms(samples[-1], [metric], n_classes=len(classes), confidence=settings.confidence)
        room = known if without_width(drawn, confidence=settings.confidence).all() else 0.0
        low, high = interval_within(gains[:, None], confidence=settings.confidence, room=room, within=(-1, 1))
        row = {
            "model": model, "metric": metric, "a": law.a[0], "b": law.b[0], "c": law.c[0], "n_now": now,
            "now": estimate[-1], "n_more": more,
            "expected_gain": gain[0], "gain_low": low[0], "gain_high": high[0],
            "misfit": max(abs(score - law(size)[0]) for size, score in zip(sizes, estimate, strict=True)),
        }  # fmt: skip
        found.append(row | {"says": learning_finding(row, titles)})
    return found


def _table(parts: list[pd.DataFrame], types: dict[str, str]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame(columns=list(types)).astype(types)
    return pd.concat(parts, ignore_index=True)[list(types)]
