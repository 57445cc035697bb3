"""Cross-validation folds over patients: stratified by class, or with whole sites kept together.

Site-preserved folds (Howard et al., Nat Commun 2021;12:4423) are found by a mixed-integer linear programme with SciPy's
HiGHS, which is open and deterministic. The inner validation part is always a stratified sample of the training
patients: it only stops the training and is never scored, so it may share sites with them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from histoweave.config import Folds
from histoweave.errors import InputError

# Deterministic on every machine: bounds on the search tree and on the gap, never on the clock. A gap is relative to the
# objective, which may be nearly 0 at the optimum, so the objective carries a constant 1: the gap is absolute then.
_MILP_OPTIONS = {"mip_rel_gap": 0.02, "node_limit": 500}


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


def assign_sites(counts: np.ndarray, *, n_folds: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Assign sites to folds so that each fold gets close to 1/K of every class.

    Minimises the sum over folds k and classes c of |n_kc − N_c / K| / N_c, each site in exactly one fold, no fold empty.

    Parameters
    ----------
    counts : (S, C) int, patients of each class per site.
    rng : for repeats: adds random costs far below one patient's weight, which picks among near-equal solutions.

    Returns
    -------
    (S,) int, the fold of each site.
    """
    # Imported here: each start of Snakemake, so each job on a cluster, reads this module for `check_classes` alone.
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import lil_array

    n_sites, n_classes = counts.shape
    totals = counts.sum(axis=0)
    n_x, n_d = n_sites * n_folds, n_folds * n_classes
    matrix = lil_array((n_sites + n_folds + 2 * n_d, n_x + n_d + 1))
    low, high = [], []
    for site in range(n_sites):
        matrix[site, site * n_folds : (site + 1) * n_folds] = 1
        low.append(1)
        high.append(1)
    for fold in range(n_folds):
        matrix[n_sites + fold, fold:n_x:n_folds] = 1
        low.append(1)
        high.append(np.inf)
    row = n_sites + n_folds
    for fold in range(n_folds):
        for label in range(n_classes):
            deviation = n_x + fold * n_classes + label
            for sign in (1, -1):
                matrix[row, fold:n_x:n_folds] = sign * counts[:, label] / totals[label]
                matrix[row, deviation] = -1
                low.append(-np.inf)
                high.append(sign / n_folds)
                row += 1
    cost = np.concatenate([np.zeros(n_x), np.ones(n_d + 1)])
    if rng is not None:
        cost[:n_x] = rng.random(n_x) * 0.5 / totals.sum() / n_sites
    lower = np.concatenate([np.zeros(n_x + n_d), [1]])
    upper = np.concatenate([np.ones(n_x), np.full(n_d, np.inf), [1]])
    # Folds are interchangeable: the largest site goes to fold 0, the second to fold 0 or 1, and so on.
    for rank, site in enumerate(np.argsort(-counts.sum(axis=1), kind="stable")[:n_folds]):
        upper[site * n_folds + rank + 1 : (site + 1) * n_folds] = 0
    solution = milp(
        cost,
        constraints=LinearConstraint(matrix.tocsc(), low, high),
        integrality=np.concatenate([np.ones(n_x), np.zeros(n_d + 1)]),
        bounds=Bounds(lower, upper),
        options=dict(_MILP_OPTIONS),  # a copy: milp empties the dict that it is given
    )
    if solution.x is None:
        raise InputError(f"no site-preserved folds found ({solution.message}); lower folds.n_folds or group by patient")
    return solution.x[:n_x].reshape(n_sites, n_folds).argmax(axis=1)


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
    rows = []
    for repeat in range(settings.repeats):
        if settings.group_by == "site":
            fold_of = _site_folds(labels, sites, settings=settings, repeat=repeat, seed=seed)
        else:
            fold_of = _stratified_folds(patients, settings=settings, repeat=repeat, seed=seed)
        for fold in range(settings.n_folds):
            role = np.where(fold_of == fold, "test", "train").astype(object)
            rest = np.flatnonzero(role == "train")
            role[_validation(rest, labels, settings=settings, seed=seed + 1000 * repeat + fold, where=where)] = "val"
            rows.append(pd.DataFrame({"patient": patients["patient"], "repeat": repeat, "fold": fold, "role": role}))
    table = pd.concat(rows, ignore_index=True)
    return table, _describe(table, patients, settings=settings)


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


def _site_folds(labels: np.ndarray, sites: np.ndarray, *, settings: Folds, repeat: int, seed: int) -> np.ndarray:
    counts = pd.crosstab(pd.Series(sites, name="site"), pd.Series(labels, name="label"))
    if repeat:
        rng = np.random.default_rng([seed, repeat])
        assigned = assign_sites(counts.to_numpy(), n_folds=settings.n_folds, rng=rng)
    else:
        assigned = _assigned(tuple(map(tuple, counts.to_numpy().tolist())), settings.n_folds)
    of_site = dict(zip(counts.index, assigned, strict=True))
    return np.array([of_site[site] for site in sites])


@functools.lru_cache(maxsize=8)
def _assigned(counts: tuple[tuple[int, ...], ...], n_folds: int) -> tuple[int, ...]:
    """`assign_sites` without random costs. Kept: labels that are shuffled within sites have the same counts every time."""
    return tuple(assign_sites(np.array(counts), n_folds=n_folds))


def _validation(rest: np.ndarray, labels: np.ndarray, *, settings: Folds, seed: int, where: str) -> np.ndarray:
    classes, counts = np.unique(labels[rest].astype(str), return_counts=True)
    if len(classes) < len(set(labels)) or counts.min() < 2:
        raise InputError(
            f"{where}: a fold's training part has fewer than two patients of some class; "
            "lower folds.n_folds, group by patient, or merge classes with label_map"
        )
    from sklearn.model_selection import StratifiedShuffleSplit

    size = max(round(settings.val_share * len(rest)), len(classes))
    splitter = StratifiedShuffleSplit(1, test_size=size, random_state=seed)
    _, val = next(splitter.split(np.zeros(len(rest)), labels[rest].astype(str)))
    return rest[val]


def _describe(table: pd.DataFrame, patients: pd.DataFrame, *, settings: Folds) -> dict:
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
        "method": method[settings.group_by],
        "group_by": settings.group_by,
        "n_folds": settings.n_folds,
        "repeats": settings.repeats,
        "val_share": settings.val_share,
        "sites_shared_between_test_and_train": int(shared),
        "largest_class_share_deviation": float((share - 1 / settings.n_folds).abs().to_numpy().max()),
        "test_counts": {f"repeat{r}_fold{f}": row.to_dict() for (r, f), row in counts.astype(int).iterrows()},
    }
