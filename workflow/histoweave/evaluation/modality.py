"""Modality use: what a model loses if a patient gets one modality of another patient at inference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from histoweave.evaluation.bootstrap import bootstrap
from histoweave.evaluation.bounds import interval_within, metric_range, metric_rooms, unseen_share
from histoweave.evaluation.metrics import METRICS, weighted_mean
from histoweave.evaluation.sample import Part, Sample
from histoweave.fusion.catalog import OWN
from histoweave.settings.evaluation import Evaluation

SCORED = {name: METRICS[name] for name in ("auroc", "average_precision", "accuracy")}
ROUNDING = 1e-6  # of a probability in float32
CHANGES = ("mean_abs_change", "changed_calls")
TYPES = dict.fromkeys(("model", "modality", "metric"), "str") | {
    **dict.fromkeys(("intact", "permuted", "drop", "ci_low", "ci_high"), "float64"),
    "n": "int64",
}


def modality_use(
    intact: pd.DataFrame, permuted: pd.DataFrame, *, classes: list[str], settings: Evaluation, seed: int
) -> pd.DataFrame:
    """Compare intact predictions with those under a permuted modality: same patients, same bootstrap draws.

    `auroc`, `average_precision` and `accuracy`: `intact`, `permuted` (mean over permutations) and `drop` =
    intact − permuted. `mean_abs_change` (|Δp|, mean over classes) and `changed_calls` (share of patients
    whose called class changes), both means over permutations, say how far the output moves at all: `intact`
    is 0, `permuted` and `drop` are the change. The interval is that of `drop`, over patients or over the clusters that
    `intact` names. A model that does not use a modality has a drop of exactly 0.

    Parameters
    ----------
    intact : pooled test predictions of all models.
    permuted : `model`, `modality`, `permutation`, `patient`, `y_true`, `p_<class>`; `repeat` if several. Rows of the
        modality `none` are predictions without an exchange on the same tiles: they stand for the intact ones.

    Raises
    ------
    ValueError
        if permuted rows have no intact counterpart, or permutations are not of the same patients.
    """
    if "repeat" not in permuted:
        if intact["repeat"].nunique() > 1:
            raise ValueError("permuted predictions of several repeats need a column 'repeat'")
        permuted = permuted.assign(repeat=intact["repeat"].iloc[0])
    tables, is_own = [], permuted["modality"] == OWN
    for (model, modality), rows in permuted[~is_own].groupby(["model", "modality"], sort=False):
        runs = [run for _, run in rows.groupby("permutation")]
        before = intact[intact["model"] == model].merge(runs[0][["repeat", "patient"]], validate="one_to_one")
        before = _on_the_same_tiles(before, permuted[is_own & (permuted["model"] == model)], classes)
        keys = _keys(before)
        if not all(_keys(run) == keys for run in runs):
            raise ValueError(
                f"model '{model}': predictions with permuted {modality} must be of the same patients in "
                "every permutation, and each must have an intact prediction"
            )
        use = _use(
            Sample.of(before, classes),
            [Sample.of(run, classes) for run in runs],
            settings=settings,
            seed=seed,
        )
        tables.append(use.assign(model=model, modality=modality)[list(TYPES)])
    if not tables:  # no fold had two test patients with both modalities
        return pd.DataFrame(columns=list(TYPES)).astype(TYPES)
    return pd.concat(tables, ignore_index=True)


def _on_the_same_tiles(intact: pd.DataFrame, own: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """The intact predictions, those on the tiles that the permuted ones looked at where there are such."""
    if own.empty:
        return intact
    columns, keys = [f"p_{label}" for label in classes], ["repeat", "patient"]
    found = intact[keys].merge(own[keys + columns], how="left", validate="one_to_one")[columns].to_numpy()
    return intact.assign(**dict(zip(columns, np.where(np.isnan(found), intact[columns], found).T, strict=True)))


def _keys(table: pd.DataFrame) -> list[tuple[int, str]]:
    return sorted(zip(table["repeat"], table["patient"], strict=True))


def _use(intact: Sample, runs: list[Sample], *, settings: Evaluation, seed: int) -> pd.DataFrame:
    """The rows of one model and modality."""
    runs = [_without_rounding(run, intact) for run in runs]
    # Predictions that did not move are not scored again: their drop is exactly 0, and it saves time.
    moved = [any((a.p != b.p).any() for a, b in zip(intact.parts, run.parts, strict=True)) for run in runs]
    changes = [_changes(part, [run.parts[i] for run in runs]) for i, part in enumerate(intact.parts)]

    def drops(w: np.ndarray) -> np.ndarray:
        before = intact.score(SCORED, w)
        lost = [before - (run.score(SCORED, w) if moves else before) for run, moves in zip(runs, moved, strict=True)]
        far = [
            [weighted_mean(change, w[:, part.patient]) for change in both]
            for part, both in zip(intact.parts, changes, strict=True)
        ]
        return np.column_stack([np.mean(lost, axis=0), np.mean(far, axis=0).T])

    estimate, drawn = bootstrap(drops, intact.n, draws=settings.bootstrap, seed=seed, clusters=intact.clusters)
    before = np.append(intact.score(SCORED, np.ones((1, intact.n)))[0], np.zeros(len(CHANGES)))
    low, high = interval_within(drawn, confidence=settings.confidence, **_limits(intact, any(moved), settings))
    after = np.where(np.arange(len(before)) < len(SCORED), before - estimate, estimate)
    return pd.DataFrame(
        {
            "metric": [*SCORED, *CHANGES],
            "intact": before,
            "permuted": after,
            "drop": estimate,
            "ci_low": low,
            "ci_high": high,
            "n": intact.n,
        }
    )


def _limits(intact: Sample, moved: bool, settings: Evaluation) -> dict:
    """`room` and `within` of the drops and changes; where nothing moved they are exactly 0."""
    n_classes, names = intact.parts[0].p.shape[1], list(SCORED)
    low, high = metric_range(names, n_classes=n_classes)
    room = metric_rooms(intact, names, n_classes=n_classes, confidence=settings.confidence)
    room = np.append(room, np.full(len(CHANGES), unseen_share(intact.n, confidence=settings.confidence)))
    return {
        "room": room if moved else 0.0,
        "within": (np.append(low - high, np.zeros(len(CHANGES))), np.append(high - low, np.ones(len(CHANGES)))),
    }


def _without_rounding(permuted: Sample, intact: Sample) -> Sample:
    """Permuted predictions, the intact one where all that differs is the rounding of another batch."""
    parts = []
    for part, own in zip(permuted.parts, intact.parts, strict=True):
        same = np.abs(part.p - own.p).max(axis=1, keepdims=True) <= ROUNDING
        parts.append(replace(part, p=np.where(same, own.p, part.p)))
    return replace(permuted, parts=tuple(parts))


def _changes(intact: Part, permuted: list[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Per patient (m,): mean |Δp| and how often the call changes, both over permutations."""
    p = np.stack([part.p for part in permuted])
    return (
        np.abs(p - intact.p).mean(axis=(0, 2)),
        (p.argmax(axis=2) != intact.p.argmax(axis=1)).mean(axis=0),
    )
