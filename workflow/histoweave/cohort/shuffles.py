"""Shuffled labels for the negative control: plain random permutations among the patients whose labels are exchangeable.

Without any effect of what the models read, the labels of the patients of one site could as well be in another order; those
of different sites could not, where the sites have other shares of the classes. So labels are shuffled within sites. Each
shuffle is cross-validated on folds of its own, made as those of the true labels: kept folds would be stratified by the true
labels only, and the scores of the shuffles would be lower for that reason alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from histoweave.cohort.folds import make_folds
from histoweave.settings.folds import Folds

# With more of the patients than this in sites of one class, shuffles within sites would hardly change anything.
MAX_FIXED_SHARE = 0.5
EVERYBODY = "all"
NO_SITE = "no site"
_STREAM = 0xC0  # keeps the draws apart from those of other stages with the same seed


def exchange_groups(patients: pd.DataFrame) -> tuple[pd.Series, dict[str, Any]]:
    """Who may exchange labels with whom.

    Parameters
    ----------
    patients : `patient`, `label`, `site` (null where unknown) of the included patients.

    Returns
    -------
    The group of each row (str): its site, one group of those without a site, or `EVERYBODY` for all; and how that was
    decided: `within` (`site` or `all`), `patients`, `sites`, `one_class_sites` (those in which all labels are equal; the
    patients without a site count as one) and `fixed` (patients of these, whose label stays if shuffled within sites).
    """
    site = patients["site"] if "site" in patients else pd.Series(None, index=patients.index, dtype=object)
    everybody = pd.Series(EVERYBODY, index=patients.index, dtype=object)
    site = site.astype(object)
    how: dict[str, Any] = {"within": "all", "patients": len(patients), "sites": int(site.nunique())}
    if how["sites"] < 2:
        return everybody, how | {"one_class_sites": 0, "fixed": 0}
    groups = site.where(site.notna(), NO_SITE).astype(str)
    one_class = patients.groupby(groups)["label"].nunique() < 2
    fixed = int(groups.map(one_class).sum())
    how |= {"one_class_sites": int(one_class.sum()), "fixed": fixed}
    return (everybody, how) if fixed > MAX_FIXED_SHARE * len(patients) else (groups, how | {"within": "site"})


def shuffle_labels(labels: np.ndarray, groups: np.ndarray, *, seed: int, shuffle: int) -> np.ndarray:
    """A random permutation of `labels` (n,) within `groups` (n,); the same for the same seed and number."""
    rng = np.random.default_rng([seed, _STREAM, shuffle])
    shuffled = np.array(labels, dtype=object)
    for group in np.unique(groups.astype(str)):
        members = np.flatnonzero(groups == group)
        shuffled[members] = shuffled[rng.permutation(members)]
    return shuffled


def make_shuffles(
    patients: pd.DataFrame, *, shuffles: int, settings: Folds, seed: int, where: str = "cohort"
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Shuffled labels of the included patients, and folds for each shuffle.

    Parameters
    ----------
    patients : `patient`, `label`, `site`, `complete` of the included patients.
    settings : of the folds, grouped as the folds of the true labels are.

    Returns
    -------
    labels : `shuffle` (int64), `patient`, `label`, `group` (see `exchange_groups`), sorted.
    folds : `shuffle`, `patient`, `repeat`, `fold`, `role`, as `folds.make_folds` makes them.
    how : of `exchange_groups`, with `shuffles`.

    Raises
    ------
    InputError
        if a class or the sites cannot fill the folds.
    """
    patients = patients.sort_values("patient", ignore_index=True)
    groups, how = exchange_groups(patients)
    labels, folds = [], []
    for shuffle in range(shuffles):
        shuffled = shuffle_labels(patients["label"].to_numpy(), groups.to_numpy(), seed=seed, shuffle=shuffle)
        # Folds of another seed each, so that which patients are tested together does not depend on the labels.
        of_folds = int(np.random.SeedSequence([seed, _STREAM, shuffle]).generate_state(1)[0]) >> 1
        table, _ = make_folds(patients.assign(label=shuffled), settings=settings, seed=of_folds, where=where)
        row = {"shuffle": shuffle, "patient": patients["patient"], "label": shuffled, "group": groups}
        labels.append(pd.DataFrame(row))
        table.insert(0, "shuffle", shuffle)
        folds.append(table)
    return (
        pd.concat(labels, ignore_index=True),
        pd.concat(folds, ignore_index=True),
        how | {"shuffles": shuffles},
    )
