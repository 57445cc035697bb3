"""Models refitted on shuffled labels: every fold of one shuffle in one process, test patients only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from histoweave.fusion import catalog
from histoweave.fusion.bags import BagStore
from histoweave.fusion.catalog import IMAGE, MODALITIES
from histoweave.fusion.fusion_fold import fold_roles, fold_seed, patients_by_role, tested
from histoweave.fusion.patients import PatientSet
from histoweave.settings.fusion import Fusion

KEPT_TILES = 16384  # of all patients together
_KEYS = ["patient", "repeat", "fold", "role", "y_true", *(f"has_{modality}" for modality in MODALITIES)]


def refit(
    model: str,
    *,
    patients: pd.DataFrame,
    folds: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    classes: list[str],
    settings: Fusion,
    seed: int,
    device: str,
) -> pd.DataFrame:
    """Fit a model on every fold and predict the fold's test patients.

    Parameters
    ----------
    model : one that needs no other model.
    patients, folds, slides, expression : as `fusion_fold.run_fold` takes them, with shuffled labels and their folds.

    Returns
    -------
    `patient`, `repeat`, `fold`, `role` (test), `y_true`, `has_<modality>`, `p_<class>`: a row per repeat and test patient
    that the model can handle.

    Raises
    ------
    InputError
        for patients that the model cannot be fitted on.
    """
    info = catalog.get(model)
    everyone = PatientSet.of(patients, slides=slides, expression=expression, classes=classes)
    tables = []
    for k in range(len(folds[["repeat", "fold"]].drop_duplicates())):
        repeat, fold, roles = fold_roles(folds, k)
        able = patients_by_role(everyone, roles, info)
        own_seed = fold_seed(seed, model, k)
        table = tested(model, able, classes=classes, settings=settings, seed=own_seed, device=device)
        tables.append(table.assign(repeat=repeat, fold=fold, role="test"))
    return pd.concat(tables, ignore_index=True)[[*_KEYS, *(f"p_{label}" for label in classes)]]


def refit_shuffles(
    model: str, *, patients: pd.DataFrame, labels: pd.DataFrame, folds: pd.DataFrame, **how: Any
) -> pd.DataFrame:
    """`refit` on every shuffle of `labels` (`shuffle`, `patient`, `label`) with its folds; `shuffle` is the first column.

    how : the other arguments of `refit`.
    """
    tables = []
    for shuffle, shuffled in labels.groupby("shuffle"):
        own = folds[folds["shuffle"] == shuffle].drop(columns="shuffle")
        table = refit(model, patients=relabelled(patients, shuffled), folds=own, **how)
        table.insert(0, "shuffle", shuffle)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def relabelled(patients: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """The patients with the labels of one shuffle (`patient`, `label`); those that were not shuffled keep theirs."""
    shuffled = patients["patient"].map(labels.set_index("patient")["label"])
    return patients.assign(label=shuffled.where(shuffled.notna(), patients["label"]))


def smaller_bags(slides: pd.DataFrame, folder: Path, *, n_patients: int, seed: int) -> pd.DataFrame:
    """A bag of few tiles for every patient, so that a hundred fits do not read all tiles a hundred times.

    A patient with more than `KEPT_TILES` / `n_patients` tiles keeps that many, all shifted by one vector that gives them
    the mean of all the patient's tiles: models of a patient's mean tile see what they would see in the whole bag. That is
    about as many as the transform of the image draws per patient. Other patients keep theirs as they are.

    Parameters
    ----------
    slides : `cohort/slides.parquet`. folder : where the feature files are written.

    Returns
    -------
    The same table with one usable slide per patient, whose `features` name the new files.
    """
    most = max(1, KEPT_TILES // max(n_patients, 1))
    bags, rows = BagStore(slides, max_bytes=0), []
    usable = slides[slides["status"] == "ok"].sort_values(["patient", "slide"]).drop_duplicates("patient")
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(usable.to_dict("records")):
        tiles = bags.load(row["patient"])
        if len(tiles) > most:
            rng = np.random.default_rng([seed, number])
            drawn = tiles[np.sort(rng.choice(len(tiles), size=most, replace=False))]
            tiles = drawn + (tiles.mean(axis=0, dtype=np.float64) - drawn.mean(axis=0, dtype=np.float64))
        path = folder / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file["features"] = tiles.astype(np.float32)
        rows.append(row | {"features": str(path)})
    return pd.DataFrame(rows, columns=list(slides.columns))


def refit_reference(
    model: str, *, patients: pd.DataFrame, slides: pd.DataFrame, folder: Path, seed: int, **how: Any
) -> pd.DataFrame:
    """`refit_shuffles` of a model without a network; one that reads the image gets `smaller_bags`, written to `folder`."""
    if IMAGE in catalog.get(model).modalities:
        n_patients = int((patients["included"] & patients["has_image"]).sum())
        slides = smaller_bags(slides, folder, n_patients=n_patients, seed=seed)
    return refit_shuffles(model, patients=patients, slides=slides, seed=seed, device="cpu", **how)
