"""What concepts predict in a cohort, beside the raw embedding and other baselines: read its files, score, write the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from histoweave.concepts.classify import ordered, predict_fold, score_levels
from histoweave.concepts.cohort_data import CohortImages, Path, read_activations, with_dictionary
from histoweave.concepts.levels import CLASS_TYPES, Level, make_levels
from histoweave.concepts.probes import Probe, probe_fold, score_probes
from histoweave.concepts.representations import Choice, ImageData, active_per_token
from histoweave.concepts.score_tables import concat
from histoweave.errors import InputError
from histoweave.mechanics.repeatable import deterministic
from histoweave.sae.format import load
from histoweave.settings.concepts import Concepts
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds
from histoweave.storage.files import read_table, write_table

LEVEL_TYPES = {"level": "str", "status": "str", "reason": "str", "n_rows": "int64", "n_patients": "int64"}


def score_stage(
    cohort: CohortImages,
    *,
    folds: Path,
    dictionaries: Sequence[tuple[Path, Path]],
    targets: Sequence[str],
    rejected: Sequence[int] = (),
    settings: Concepts,
    fold_settings: Folds,
    evaluation: Evaluation,
    seed: int,
    device: torch.device,
    out: Mapping[str, Path],
) -> None:
    """Classify and probe every fold, and score it all together.

    Parameters
    ----------
    dictionaries : (folder of the dictionary, file of the cohort's activations): one per fold, fitted on its training
        patients, or a single one for all folds (`global`). targets : columns of the images table to probe.
    rejected : concepts that are left out of the classification.
    out : path of each of `predictions`, `metrics`, `comparisons`, `probes`, `levels`, `classes`. Their column
        `dictionary` says `fold` or `global`.

    Raises
    ------
    InputError
        if concepts are to be left out although every fold has a dictionary of its own, or an image was not encoded.
    """
    table = read_table(folds)
    n_folds = table["fold"].nunique()
    scoring = "global" if len(dictionaries) == 1 else "fold"
    if scoring == "fold" and rejected:
        raise InputError(
            "concepts.leave_out_rejected: a review names concepts of one dictionary, but every fold has its own; "
            "set sae.scoring to global"
        )
    if scoring == "fold" and len(dictionaries) != n_folds:
        raise ValueError(f"{len(dictionaries)} dictionaries for {n_folds} folds")
    levels = make_levels(cohort.images, settings=fold_settings)
    choice = Choice(pooling=settings.pooling, left_out=tuple(rejected), seed=seed)
    predictions: list[pd.DataFrame] = []
    probes: list[Probe] = []
    data = None
    with deterministic(seed, device=device.type):
        for fold, roles in table.groupby("fold"):
            is_train = (roles.set_index("patient")["role"] == "train").rename("train")
            if scoring == "fold":
                train = np.flatnonzero(is_train[cohort.images["patient"]])
                data = _data(cohort, dictionaries[fold], train, settings=settings, seed=seed, device=device)
            elif data is None:
                every = np.arange(len(cohort.images))
                data = _data(cohort, dictionaries[0], every, settings=settings, seed=seed, device=device)
            of_fold = {"is_train": is_train, "fold": fold, "choice": choice}
            predictions.append(predict_fold(data, levels, image_patients=cohort.images["patient"], **of_fold))
            probes += probe_fold(data, cohort.images, targets=targets, **of_fold)
        found = ordered(predictions)
        tables = score_levels(found, levels, settings=evaluation, seed=seed) | {
            "predictions": found,
            "probes": score_probes(probes, settings=evaluation, seed=seed),
            "levels": _level_table(levels),
            "classes": concat([level.table for level in levels], CLASS_TYPES),
        }
    for name, rows in tables.items():
        write_table(out[name], rows.assign(dictionary=scoring))


def _data(
    cohort: CohortImages,
    dictionary: tuple[Path, Path],
    fitted_on: np.ndarray,
    *,
    settings: Concepts,
    seed: int,
    device: torch.device,
) -> ImageData:
    """The images through one dictionary; its random twin is as sparse as it is on the images that it was fitted on."""
    concepts = read_activations(dictionary[1], cohort.tokens.images)
    return with_dictionary(
        cohort,
        concepts,
        load(dictionary[0]),
        active=active_per_token(concepts, fitted_on),
        token_threshold=settings.token_threshold,
        seed=seed,
        device=device,
    )


def _level_table(levels: Sequence[Level]) -> pd.DataFrame:
    rows = [
        (
            level.name,
            "not_scored" if level.reason else "scored",
            level.reason,
            int(level.scored.sum()),
            level.rows.loc[level.scored, "patient"].nunique(),
        )
        for level in levels
    ]
    return pd.DataFrame(rows, columns=list(LEVEL_TYPES)).astype(LEVEL_TYPES)
