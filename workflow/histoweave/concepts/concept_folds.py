"""Folds over patients for the cell arm: what belongs to one patient, or is one picture twice, is never split."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from histoweave.concepts.images import patient_labels, usable
from histoweave.errors import InputError
from histoweave.settings.folds import Folds
from histoweave.storage.files import read_table, write_table


def patient_groups(images: pd.DataFrame, *, settings: Folds) -> pd.Series:
    """The patients that must stay together: patient → first patient of its group, both by id.

    Patients are one group if they share a picture, by the hash in the column `content` (if there is one), or a site,
    if folds keep sites together; and so are those linked through others.

    Raises
    ------
    InputError
        if folds keep sites together and an image has none.
    """
    links = ["content"] if "content" in images else []
    if settings.group_by == "site":
        if "site" not in images or images["site"].isna().any():
            raise InputError(
                "images: folds.group_by is site, but some images have no site; fill column 'site' of the patients table, or "
                "group by patient"
            )
        links.append("site")
    patient, names = pd.factorize(images["patient"], sort=True)
    group = np.arange(len(names))
    for link in links:
        has_link = images[link].notna().to_numpy()
        other, values = pd.factorize(images.loc[has_link, link])
        # Groups so far and values of the link are the two sides of a graph.
        n = len(names) + len(values)
        edges = (np.ones(len(other)), (group[patient[has_link]], other + len(names)))
        _, part = connected_components(coo_array(edges, shape=(n, n)), directed=False)
        first = pd.Series(np.arange(len(names))).groupby(part[group]).transform("min")
        group = first.to_numpy()
    return pd.Series(names.to_numpy()[group], index=pd.Index(names, name="patient"), name="group")


def concept_folds(images: pd.DataFrame, *, settings: Folds, seed: int) -> pd.DataFrame:
    """Split the patients of an images table into folds, stratified by class (scikit-learn's StratifiedGroupKFold).

    Strata are the patients' labels if any patient has one, else the labels of the images; a class with fewer rows than
    folds is not spread. Images without tokens are left out, and so are patients without any other image.
    `settings.repeats` and `settings.val_share` have no meaning here: every repeat would need its own dictionaries.

    Returns
    -------
    table `patient`, `fold`, `role` (train, test), one row per patient and fold, sorted by fold and patient.

    Raises
    ------
    InputError
        for fewer patients (groups of `patient_groups`) than folds, or two labels of one patient.
    """
    # Imported here: each start of Snakemake reads this package.
    from sklearn.model_selection import StratifiedGroupKFold

    images = usable(images)
    group_of = patient_groups(images, settings=settings)
    n_groups = group_of.nunique()
    if n_groups < settings.n_folds:
        raise InputError(
            f"images: {n_groups} patients (after joining those that share a picture or a site) cannot fill "
            f"{settings.n_folds} folds; lower folds.n_folds"
        )
    labels = patient_labels(images)
    if labels.isna().all():
        labels = images.set_index("patient")["label"]
    groups = group_of[labels.index].to_numpy()
    splitter = StratifiedGroupKFold(settings.n_folds, shuffle=True, random_state=seed)
    tables = []
    for fold, (_, test) in enumerate(splitter.split(groups, _strata(labels, settings.n_folds), groups)):
        is_test = group_of.isin(groups[test]).to_numpy()
        role = np.where(is_test, "test", "train").astype(object)
        tables.append(pd.DataFrame({"patient": group_of.index, "fold": fold, "role": role}))
    return pd.concat(tables, ignore_index=True)


def write_folds(images: str | os.PathLike, out: str | os.PathLike, *, settings: Folds, seed: int) -> None:
    """Write the folds of a cohort, given its images table."""
    write_table(out, concept_folds(read_table(images), settings=settings, seed=seed))


def _strata(labels: pd.Series, n_folds: int) -> np.ndarray:
    """Class codes for the splitter; a blank is a class, and classes with fewer rows than folds join the largest."""
    codes, _ = pd.factorize(labels.fillna("").astype(str), sort=True)
    counts = np.bincount(codes)
    return np.where(counts[codes] >= n_folds, codes, counts.argmax())
