"""The stage `decide`: from the predictions of all folds to its tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from histoweave.decide import calibrate, conformal, selective, wording
from histoweave.decide.decision_curve import decision_curve
from histoweave.decide.subgroups import subgroups
from histoweave.evaluation.clusters import with_clusters
from histoweave.evaluation.evaluate import pool, pooled_scope
from histoweave.evaluation.sample import check_predictions
from histoweave.fusion import catalog
from histoweave.settings.decide import Decide
from histoweave.settings.evaluation import Evaluation

SET_COLUMNS = ["model", "patient", "repeat", "level", "kind", "set", "covered"]


def decide(
    folds: list[tuple[str, pd.DataFrame]],
    *,
    patients: pd.DataFrame,
    how_folded: Mapping[str, Any],
    classes: list[str],
    modalities: Collection[str],
    settings: Decide,
    evaluation: Evaluation,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """The tables of `decide/` (docs/artefacts.md), by name.

    Temperatures see validation rows only. Sets are made for every patient that a model predicts; calibration,
    abstention, decision curves and subgroups are of the evaluation's pooled scope, so that models compare.

    Parameters
    ----------
    folds : model and `predictions.parquet` (all roles) of each fold.
    patients : `cohort/patients.parquet`. how_folded : `folds.json`.
    modalities : those that any model of the run reads.

    Raises
    ------
    InputError
        if no patient has all these modalities.
    ValueError
        for predictions that cannot be scored (see `check_predictions`).
    """
    test = with_clusters(pool(folds), patients=patients, how=how_folded)
    check_predictions(test, classes)
    every = pd.concat([table.assign(model=model) for model, table in folds], ignore_index=True)
    temperatures = calibrate.temperatures(every, classes)
    after = calibrate.calibrated(test, temperatures, classes)
    is_pooled = pooled_scope(test, modalities)
    before, scored = test[is_pooled], after[is_pooled]
    given: dict[str, Any] = {"classes": classes, "settings": evaluation, "seed": seed}
    sets = conformal.cross_sets(after, classes, sorted(set(settings.levels)))
    sites = ["site"] if "site" in patients else []
    columns = [*sites, *(column for column in settings.subgroups if column != "site")]
    groups, differences = subgroups(before, patients=patients, columns=columns, **given)
    tables = {
        "temperatures": temperatures,
        "calibrated": after.drop(columns="cluster"),
        "calibration": calibrate.calibration(before, scored, **given),
        "reliability": calibrate.reliability_of_both(before, scored, classes=classes),
        "conformal_scores": conformal.conformal_scores(after, classes),
        "conformal": conformal.coverage(sets, patients=patients, classes=classes, confidence=evaluation.confidence),
        "sets": sets[SET_COLUMNS],
        "selective": selective.selective(scored, **given),
        "risk_coverage": selective.risk_coverage(scored, classes=classes),
        "decision_curve": decision_curve(scored, **given),
        "subgroups": groups,
        "subgroup_differences": differences,
    }
    titles = {model: catalog.get(model).title for model, _ in folds}
    return tables | {"findings": wording.findings(tables, titles)}
