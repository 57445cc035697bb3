"""One concept as a classifier: the best one for an attribute value, chosen on training images, scored on held-out ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histoweave.concepts.columns import Matrix, column_auroc
from histoweave.concepts.representations import Choice, ImageData, fit_all
from histoweave.concepts.score_tables import concat, in_slices
from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.evaluation.metrics import auroc
from histoweave.settings.evaluation import Evaluation

# The best single concept beside the best single dimension of the mean token, and the best random direction.
PROBED = ("concepts", "raw", "random")
PROBE_TYPES = dict.fromkeys(("target", "value", "representation", "scope"), "str") | {
    "concept": "Int64",
    "direction": "Int64",
    **dict.fromkeys(("auroc_train", "auroc", "ci_low", "ci_high"), "float64"),
    **dict.fromkeys(("n_positive", "n_images", "n_patients"), "int64"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """The best column for one value of a target in one fold.

    Attributes
    ----------
    column, direction: which one, and 1 if it speaks for the value, −1 if against it. auroc_train: on training images.
    patient: (m,) ids, score: (m,) float64 with the direction in it, positive: (m,) bool: of the held-out images.
    """

    target: str
    value: str
    representation: str
    fold: int
    column: int
    direction: int
    auroc_train: float
    patient: np.ndarray
    score: np.ndarray
    positive: np.ndarray


def probe_fold(
    data: ImageData, images: pd.DataFrame, *, targets: Iterable[str], is_train: pd.Series, fold: int, choice: Choice
) -> list[Probe]:
    """Choose, for every value of every target, the column with the best AUROC on training images, up or down.

    Parameters
    ----------
    images : usable rows, in the order of `data`. targets : its columns; images with a blank are left out of that target.
    is_train : patient → whether it is a training patient of this fold.
    """
    train = is_train[images["patient"]].to_numpy()
    matrices = {
        name: representation(data)
        for name, representation in fit_all(data, np.flatnonzero(train), choice, names=PROBED)
    }
    probes = []
    for target in targets:
        labels = images[target]
        known = labels.notna().to_numpy()
        for name, matrix in matrices.items():
            probes += _best(matrix, images, labels, known & train, known & ~train, target, name, fold)
    return probes


def _best(
    matrix: Matrix,
    images: pd.DataFrame,
    labels: pd.Series,
    train: np.ndarray,
    test: np.ndarray,
    target: str,
    representation: str,
    fold: int,
) -> list[Probe]:
    """The probes of all values that some training images have and some have not; train, test: (N,) bool."""
    values = sorted(labels[train].unique())
    if len(values) < 2 or not test.any():
        return []
    positive = labels.to_numpy(dtype=object)[:, None] == np.array(values, dtype=object)
    found = column_auroc(matrix[train], positive[train])
    probes = []
    for k, value in enumerate(values):
        column = int(np.argmax(np.abs(found[:, k] - 0.5)))
        direction = 1 if found[column, k] >= 0.5 else -1
        score = matrix[test][:, [column]]
        score = score if isinstance(score, np.ndarray) else score.toarray()
        probes.append(
            Probe(
                target=target,
                value=value,
                representation=representation,
                fold=fold,
                column=column,
                direction=direction,
                auroc_train=float(max(found[column, k], 1 - found[column, k])),
                patient=images["patient"].to_numpy(dtype=str)[test],
                score=direction * score[:, 0].astype(np.float64),
                positive=positive[test, k],
            )
        )
    return probes


def score_probes(probes: Iterable[Probe], *, settings: Evaluation, seed: int) -> pd.DataFrame:
    """AUROC of the probes over all folds, with an interval over patients; and of each fold alone.

    Every fold has its own best concept, and in `fold` scoring its own dictionary, so that scores compare within a fold
    only: the pooled AUROC is the share of concordant pairs among the positive-negative pairs of one fold, over all folds.

    Returns
    -------
    columns of `PROBE_TYPES`: a row of scope `pooled` per target, value and representation, then one per fold (`fold0`,
    ..., without an interval). `concept` of `pooled` is that of all folds, blank where folds differ.
    """
    together: dict[tuple, list[Probe]] = {}
    for probe in probes:
        together.setdefault((probe.target, probe.value, probe.representation), []).append(probe)
    tables = [_score_one(parts, settings=settings, seed=seed) for parts in together.values()]
    return concat(tables, PROBE_TYPES).astype(PROBE_TYPES)


def _score_one(probes: list[Probe], *, settings: Evaluation, seed: int) -> pd.DataFrame:
    patients = np.unique(np.concatenate([probe.patient for probe in probes]))
    places = [np.searchsorted(patients, probe.patient) for probe in probes]

    def pooled(w: np.ndarray) -> np.ndarray:
        concordant, pairs = np.zeros(len(w)), np.zeros(len(w))
        for probe, place in zip(probes, places, strict=True):
            weight, area = w[:, place], _auroc(probe, w[:, place])
            in_fold = (weight @ probe.positive) * (weight @ ~probe.positive)
            concordant += np.nan_to_num(area) * in_fold
            pairs += in_fold
        return np.divide(concordant, pairs, out=np.full(len(w), np.nan), where=pairs > 0)[:, None]

    widest = max(len(probe.positive) for probe in probes)
    estimate, drawn = bootstrap(in_slices(pooled, widest), len(patients), draws=settings.bootstrap, seed=seed)
    low, high = interval(drawn, confidence=settings.confidence)
    rows = [_row(probes, "pooled", float(estimate[0]), float(low[0]), float(high[0]))]
    for probe in probes:
        of_fold = float(_auroc(probe, np.ones((1, len(probe.positive))))[0])
        rows.append(_row([probe], f"fold{probe.fold}", of_fold, np.nan, np.nan))
    return pd.DataFrame(rows)


def _auroc(probe: Probe, w: np.ndarray) -> np.ndarray:
    return auroc(probe.positive.astype(int), np.column_stack([-probe.score, probe.score]), w)


def _row(probes: list[Probe], scope: str, estimate: float, low: float, high: float) -> dict:
    columns = {(probe.column, probe.direction) for probe in probes}
    column, direction = columns.pop() if len(columns) == 1 else (pd.NA, pd.NA)
    return {
        "target": probes[0].target,
        "value": probes[0].value,
        "representation": probes[0].representation,
        "scope": scope,
        "concept": column,
        "direction": direction,
        "auroc_train": float(np.mean([probe.auroc_train for probe in probes])),
        "auroc": estimate,
        "ci_low": low,
        "ci_high": high,
        "n_positive": int(sum(probe.positive.sum() for probe in probes)),
        "n_images": int(sum(len(probe.positive) for probe in probes)),
        "n_patients": len(np.unique(np.concatenate([probe.patient for probe in probes]))),
    }
