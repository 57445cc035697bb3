"""What the rules call: read a cohort's files, score them, write the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from histoweave.cell_config import Concepts
from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.classify import ordered, predict_fold, score_levels
from histoweave.concepts.cohort_data import CohortImages, Path, read_activations, read_usable, with_dictionary
from histoweave.concepts.levels import CLASS_TYPES, Level, make_levels
from histoweave.concepts.probes import Probe, probe_fold, score_probes
from histoweave.concepts.representations import Choice, ImageData, active_per_token
from histoweave.concepts.scores import concat
from histoweave.concepts.shift import Cohort, shift
from histoweave.concepts.stability import stability
from histoweave.concepts.transfer import score_transfer, transfer_classes, transfer_predictions
from histoweave.config import Evaluation, Folds
from histoweave.errors import InputError
from histoweave.fusion.train import deterministic
from histoweave.io import read_table, write_table
from histoweave.sae.format import load

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


def transfer_stage(
    train: CohortImages,
    external: CohortImages,
    *,
    dictionary: Path,
    train_activations: Path,
    external_activations: Path,
    rejected: Sequence[int] = (),
    settings: Concepts,
    fold_settings: Folds,
    evaluation: Evaluation,
    seed: int,
    device: torch.device,
    out: Mapping[str, Path],
) -> None:
    """Apply the classifiers of the whole training cohort to an external one.

    out : path of each of `predictions`, `metrics`, `comparisons` and `classes`.
    """
    concepts = [
        read_activations(path, cohort.tokens.images)
        for path, cohort in ((train_activations, train), (external_activations, external))
    ]
    common = {
        "active": active_per_token(concepts[0], np.arange(len(train.images))),
        "token_threshold": settings.token_threshold,
        "seed": seed,
        "device": device,
    }
    sae = load(dictionary)
    levels = make_levels(train.images, settings=fold_settings)
    external_levels = make_levels(external.images, settings=Folds(), external=True)
    classes = transfer_classes(levels, external_levels)
    with deterministic(seed, device=device.type):
        found = transfer_predictions(
            with_dictionary(train, concepts[0], sae, **common),
            levels,
            with_dictionary(external, concepts[1], sae, **common),
            external_levels,
            choice=Choice(pooling=settings.pooling, left_out=tuple(rejected), seed=seed),
        )
        tables = score_transfer(found, classes, settings=evaluation, seed=seed)
    for name, rows in (tables | {"predictions": found, "classes": classes}).items():
        write_table(out[name], rows)


def shift_stage(
    *,
    train_images: Path,
    train_activations: Path,
    external_images: Path,
    external_activations: Path,
    settings: Concepts,
    evaluation: Evaluation,
    seed: int,
    out: Mapping[str, Path],
) -> None:
    """Compare an external cohort with the training cohort; out : path of `shift` and `shift_concepts`."""
    train = _encoded(train_images, train_activations)
    external = _encoded(external_images, external_activations)
    summary, concepts = shift(train, external, settings=settings, evaluation=evaluation, seed=seed)
    write_table(out["shift"], summary)
    write_table(out["shift_concepts"], concepts)


def _encoded(images: Path, activations: Path) -> Cohort:
    table = read_usable(images)
    found: ImageActivations = read_activations(activations, table["image"].tolist())
    return Cohort(activations=found, images=table)


def stability_stage(dictionaries: Sequence[Path], *, seed: int, out: Mapping[str, Path]) -> None:
    """Match the dictionaries of several seeds, the first of which gives the concepts; out : `stability`, `concepts`."""
    pairs, concepts = stability([load(folder) for folder in dictionaries], seed=seed)
    write_table(out["stability"], pairs)
    write_table(out["concepts"], concepts)
