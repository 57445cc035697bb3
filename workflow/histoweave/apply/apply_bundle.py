"""An external cohort's predictions by a bundle, and scores where there are labels."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from histoweave.apply import compatibility, conformal, ensemble, platform, statuses
from histoweave.apply.contents import read_scores
from histoweave.apply.read import Bundle, opened
from histoweave.evaluation.evaluate import evaluate
from histoweave.settings.apply import Apply
from histoweave.settings.evaluation import Evaluation
from histoweave.storage.files import read_json, write_table

_log = logging.getLogger(__name__)
METRIC_TYPES = {
    "model": "str", "metric": "str", "scope": "str", "estimate": "float64", "ci_low": "float64", "ci_high": "float64",
    "n": "int64",
}  # fmt: skip


def apply(
    bundle: Path,
    *,
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    compatibility_json: Path,
    judged: pd.DataFrame,
    settings: Apply,
    evaluation: Evaluation,
    seed: int,
    out: dict[str, Path],
) -> None:
    """Write `predictions`, `members`, `metrics` and `coverage`; the last two have no rows without labels.

    Predictions from values that training never showed are withheld, or, with `apply.insist`, given without a temperature
    and without sets.

    Parameters
    ----------
    judged : of `plausible.judge`, as `compare` wrote it.

    Raises
    ------
    InputError
        if the cohort does not fit the bundle, or the bundle is damaged.
    """
    compatibility.refuse(read_json(compatibility_json), where=str(compatibility_json))
    expression = None if expression is None else expression.set_index("patient")
    with opened(bundle) as held, threadpool_limits(1):
        known = ensemble.unlabelled(patients, slides=slides, expression=expression)
        known = platform.aligned_patients(held, known, method=settings.align)
        odd = statuses.implausible(ensemble.catalog_order(held), judged)
        votes = ensemble.member_predictions(held, known, uncalibrated=odd)
        for (model, patient), reason in votes.unusable.items():
            _log.warning("model %s cannot predict patient %s: %s", model, patient, reason)
        predictions = ensemble.ensemble_predictions(held, votes, patients)
        predictions = statuses.mark(predictions, odd, insist=settings.insist)
        for status in (statuses.ABSTAINED, statuses.INSISTED):
            if n := int(predictions["status"].eq(status).sum()):
                _log.warning("%s predictions are %s: values outside the training range", n, status)
        members = votes.table if settings.insist else statuses.without(votes.table, odd)
        predictions = _with_sets(held, predictions, members, level=settings.level)
        predictions["alignment"] = platform.alignments(predictions, method=settings.align)
        scored = predictions.assign(
            y_true=predictions["y_true"].where(predictions["y_true"].isin(held.manifest.classes))
        )
        write_table(out["members"], members)
        write_table(out["predictions"], predictions)
        compared = scored[~scored["patient"].isin([patient for _, patient in votes.unusable])]
        compared = compared if settings.insist else statuses.for_scoring(compared, judged)
        write_table(out["metrics"], _metrics(held, compared, settings=evaluation, seed=seed))
        coverage = conformal.coverage(scored, level=settings.level, confidence=evaluation.confidence)
        write_table(out["coverage"], coverage)


def _with_sets(bundle: Bundle, predictions: pd.DataFrame, members: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """`set` and `set_class` before `status`: None for models without conformal scores (by class: whose scores do not name
    the class) and for patients without a prediction."""
    scores, classes = read_scores(bundle), bundle.manifest.classes
    for kind, column in conformal.SET_COLUMNS.items():
        sets = {}
        if scores is not None and (kind == conformal.MARGINAL or "y_true" in scores):
            sets = conformal.prediction_sets(members, scores, classes=classes, level=level, kind=kind)
        rows = predictions[["model", "patient", "status"]].itertuples(index=False)
        found = [sets.get((row.model, row.patient)) if row.status == ensemble.OK else None for row in rows]
        predictions.insert(predictions.columns.get_loc("status"), column, found)
    return predictions.astype(dict.fromkeys(conformal.SET_COLUMNS.values(), object))


def _metrics(bundle: Bundle, predictions: pd.DataFrame, *, settings: Evaluation, seed: int) -> pd.DataFrame:
    """Metrics as in training, of the patients with a label that the models know; no rows without any.

    The pooled scope holds the patients that have every modality that any scored model reads and the cohort offers. A
    patient whom a model cannot predict because of the values is left out of all of them, for they are compared in pairs.
    """
    nothing = pd.DataFrame(columns=list(METRIC_TYPES)).astype(METRIC_TYPES)
    scored = predictions[predictions["status"].isin(statuses.GIVEN) & predictions["y_true"].notna()]
    infos = [info for info in ensemble.catalog_order(bundle) if info.name in set(scored["model"])]
    if scored.empty:
        return nothing
    read = set().union(*(info.modalities for info in infos))
    offered = {modality for modality in read if scored[f"has_{modality}"].any()}
    if not scored[[f"has_{modality}" for modality in sorted(offered)]].all(axis=1).any():
        _log.warning("no patient has %s, so the models are not compared on the same ones", " and ".join(offered))
        return nothing
    table = evaluate(
        scored.assign(role="test", repeat=0, fold=0),
        patients=scored[["patient", "site"]].drop_duplicates(),
        classes=bundle.manifest.classes,
        order=[info.name for info in infos],
        modalities=offered,
        settings=settings,
        seed=seed,
    )["metrics"]
    return table[table["scope"] != "fold0"].reset_index(drop=True)[list(METRIC_TYPES)]
