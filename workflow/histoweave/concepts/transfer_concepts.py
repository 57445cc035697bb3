"""Concepts and a classifier of one laboratory on the cells of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.cohort_data import CohortImages, Path, read_activations, read_usable, with_dictionary
from histoweave.concepts.levels import make_levels
from histoweave.concepts.representations import Choice, active_per_token
from histoweave.concepts.shift import Cohort, shift
from histoweave.concepts.transfer import score_transfer, transfer_classes, transfer_predictions
from histoweave.mechanics.repeatable import deterministic
from histoweave.sae.format import load
from histoweave.settings.concepts import Concepts
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds
from histoweave.storage.files import write_table


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
    common: dict[str, Any] = {
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
