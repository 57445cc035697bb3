"""Cross-validation folds over patients: stratified by class, or with whole sites kept together.

How whole sites are put into folds, and when, is in `whole_sites`. The inner validation part is always a stratified sample
of the training patients: it only stops the training and is never scored, so it may share sites with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histoweave.cohort.whole_sites import fold_of_sites, grouping, too_few_to_train
from histoweave.errors import InputError
from histoweave.settings.folds import Folds


def check_classes(labels: Sequence[str], sites: Sequence[str | None], *, settings: Folds, where: str) -> None:
    """Refuse cohorts that cannot be cross-validated as asked.

    Raises
    ------
    InputError
        for fewer than two classes, a class with fewer patients than folds, too few sites or a missing site.
    """
    counts = pd.Series(list(labels), dtype=object).value_counts().sort_index()
    listed = ", ".join(f"{name}: {n}" for name, n in counts.items()) or "none"
    if len(counts) < 2:
        raise InputError(f"{where}: the label has fewer than two classes ({listed}); check label and label_map")
    needed = max(settings.n_folds, 3)
    if counts.min() < needed:
        raise InputError(
            f"{where}: class '{counts.idxmin()}' has {counts.min()} patients, fewer than the {needed} that {settings.n_folds} "
            f"folds need ({listed}); lower folds.n_folds, or merge or drop (null) the class with label_map"
        )
    if settings.group_by == "site":
        if any(site is None for site in sites):
            raise InputError(f"{where}: folds.group_by is site, but some patients have no site; fill column 'site'")
        n_sites = len(set(sites))
        if n_sites < settings.n_folds:
            raise InputError(
                f"{where}: {n_sites} sites cannot fill {settings.n_folds} folds; lower folds.n_folds or group by patient"
            )


def make_folds(
    patients: pd.DataFrame, *, settings: Folds, seed: int, where: str = "cohort"
) -> tuple[pd.DataFrame, dict]:
    """Split patients into outer folds with an inner validation part.

    Parameters
    ----------
    patients : `patient`, `label`, `site`, `complete` (both modalities), one row per patient.

    Returns
    -------
    table `patient`, `repeat`, `fold`, `role` (train, val, test), sorted; and how it was made.

    Raises
    ------
    InputError
        if a class or the sites cannot fill the folds.
    """
    patients = patients.sort_values("patient", ignore_index=True)
    labels = patients["label"].to_numpy(dtype=object)
    sites = patients["site"].to_numpy(dtype=object)
    check_classes(labels, sites, settings=settings, where=where)
    group_by, why = grouping(labels, sites, settings=settings, seed=seed)
    rows = []
    for repeat in range(settings.repeats):
        if group_by == "site":
            fold_of = fold_of_sites(labels, sites, n_folds=settings.n_folds, repeat=repeat, seed=seed)
        else:
            fold_of = _stratified_folds(patients, settings=settings, repeat=repeat, seed=seed)
        for fold in range(settings.n_folds):
            role = np.where(fold_of == fold, "test", "train").astype(object)
            rest = np.flatnonzero(role == "train")
            role[_validation(rest, labels, settings=settings, seed=seed + 1000 * repeat + fold, where=where)] = "val"
            rows.append(pd.DataFrame({"patient": patients["patient"], "repeat": repeat, "fold": fold, "role": role}))
    table = pd.concat(rows, ignore_index=True)
    return table, {
        "group_by": group_by,
        "asked": settings.group_by,
        "why": why,
        **_describe(table, patients, settings=settings, group_by=group_by),
    }


def _stratified_folds(patients: pd.DataFrame, *, settings: Folds, repeat: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedKFold

    # Patients with one modality only are spread as well, as far as there are enough of them to be a stratum.
    label = patients["label"].astype(str)
    strata = label + np.where(patients["complete"], "", "/incomplete")
    counts = strata.value_counts()
    strata = strata.where(strata.map(counts) >= settings.n_folds, label)
    splitter = StratifiedKFold(settings.n_folds, shuffle=True, random_state=seed + repeat)
    fold_of = np.empty(len(patients), dtype=int)
    for fold, (_, test) in enumerate(splitter.split(np.zeros(len(patients)), strata)):
        fold_of[test] = fold
    return fold_of


def _validation(rest: np.ndarray, labels: np.ndarray, *, settings: Folds, seed: int, where: str) -> np.ndarray:
    if too_few_to_train(labels[rest], labels):
        raise InputError(
            f"{where}: a fold's training part has fewer than two patients of some class; "
            "lower folds.n_folds, group by patient, or merge classes with label_map"
        )
    from sklearn.model_selection import StratifiedShuffleSplit

    size = max(round(settings.val_share * len(rest)), len(set(labels)))
    splitter = StratifiedShuffleSplit(1, test_size=size, random_state=seed)
    _, val = next(splitter.split(np.zeros(len(rest)), labels[rest].astype(str)))
    return rest[val]


def _describe(table: pd.DataFrame, patients: pd.DataFrame, *, settings: Folds, group_by: str) -> dict:
    test = table[table["role"] == "test"].merge(patients[["patient", "label", "site"]], on="patient")
    counts = test.groupby(["repeat", "fold", "label"]).size().unstack(fill_value=0)
    share = counts / counts.groupby(level="repeat").sum().reindex(counts.index, level="repeat")
    sites = table.merge(patients[["patient", "site"]], on="patient")
    shared = 0
    for _, part in sites.groupby(["repeat", "fold"]):
        shared += len(set(part.loc[part["role"] == "test", "site"]) & set(part.loc[part["role"] != "test", "site"]))
    method = {
        "patient": "stratified by class over patients (scikit-learn StratifiedKFold)",
        "site": "whole sites, classes balanced by mixed-integer programming (SciPy milp, HiGHS)",
    }
    return {
        "method": method[group_by],
        "n_folds": settings.n_folds,
        "repeats": settings.repeats,
        "val_share": settings.val_share,
        "sites_shared_between_test_and_train": int(shared),
        "largest_class_share_deviation": float((share - 1 / settings.n_folds).abs().to_numpy().max()),
        "test_counts": {f"repeat{r}_fold{f}": row.to_dict() for (r, f), row in counts.astype(int).iterrows()},
    }
