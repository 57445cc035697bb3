"""Folds that keep whole sites together: when they are possible, and which site goes into which fold.

Site-preserved folds (Howard et al., Nat Commun 2021;12:4423) are found by a mixed-integer linear programme with SciPy's
HiGHS, which is open and deterministic.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.settings.folds import Folds

# With fewer sites every fold is one site, and an interval over sites says next to nothing.
MIN_SITES = 5
# A site with more patients would be most of what is tested, or most of what is learned from.
MAX_SITE_SHARE = 0.5
# By how much a fold's share of a class may differ from 1/K.
MAX_DEVIATION = 0.15
# Deterministic on every machine: bounds on the search tree and on the gap, never on the clock. A gap is relative to the
# objective, which may be nearly 0 at the optimum, so the objective carries a constant 1: the gap is absolute then.
_MILP_OPTIONS = {"mip_rel_gap": 0.02, "node_limit": 500}


def grouping(labels: np.ndarray, sites: np.ndarray, *, settings: Folds, seed: int) -> tuple[str, str]:
    """What folds keep together, `patient` or `site`, and why, in a sentence.

    `folds.group_by: auto` means whole sites where `obstacle` finds none.

    Parameters
    ----------
    labels, sites : (n,) object, of the included patients; a site may be None.
    """
    if settings.group_by != "auto":
        return settings.group_by, f"The configuration says folds.group_by: {settings.group_by}."
    if problem := obstacle(labels, sites, settings=settings, seed=seed):
        return "patient", f"Folds are over patients, because whole sites cannot be kept together: {problem}."
    counts = pd.Series(sites).value_counts()
    return "site", (
        f"Folds keep whole sites together: there are {len(counts)} sites, the largest with {counts.iloc[0]} of "
        f"{len(sites)} patients."
    )


def too_few_sites(sites: Iterable[str | None], *, n_folds: int) -> str:
    """Why these patients cannot be split by whole sites, whatever their labels; empty if they perhaps can."""
    known = pd.Series(list(sites), dtype=object)
    if missing := int(known.isna().sum()):
        return f"{missing} of {len(known)} patients have no site"
    counts, needed = known.value_counts(), max(n_folds, MIN_SITES)
    if len(counts) < needed:
        return f"{len(counts)} sites are fewer than the {needed} that are needed"
    if counts.iloc[0] > MAX_SITE_SHARE * len(known):
        return f"one site has {counts.iloc[0]} of {len(known)} patients, more than half"
    return ""


def obstacle(labels: np.ndarray, sites: np.ndarray, *, settings: Folds, seed: int) -> str:
    """Why folds of whole sites are not to be had, in words; empty if they are.

    They need `too_few_sites` to find nothing, every class in the test part of every fold in a share that differs from
    1/K by `MAX_DEVIATION` at most, and two patients of every class to train on.
    """
    if problem := too_few_sites(sites, n_folds=settings.n_folds):
        return problem
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    totals = np.bincount(codes)
    for repeat in range(settings.repeats):
        try:
            fold_of = fold_of_sites(labels, sites, n_folds=settings.n_folds, repeat=repeat, seed=seed)
        except InputError:
            return "the sites do not fill the folds"
        for fold in range(settings.n_folds):
            share = np.bincount(codes[fold_of == fold], minlength=len(names)) / totals
            if share.min() == 0:
                return f"a fold would have no patient of class '{names[share.argmin()]}' to be tested on"
            if too_few_to_train(labels[fold_of != fold], labels):
                return "a fold would have fewer than two patients of some class to learn from"
            worst = np.abs(share - 1 / settings.n_folds).argmax()
            if abs(share[worst] - 1 / settings.n_folds) > MAX_DEVIATION:
                return (
                    f"a fold would be tested on {share[worst]:.0%} of class '{names[worst]}' in place of about "
                    f"{1 / settings.n_folds:.0%}"
                )
    return ""


def too_few_to_train(labels: np.ndarray, every: np.ndarray) -> bool:
    """Whether a fold's training and validation patients lack two patients of any of the classes in `every`."""
    classes, counts = np.unique(labels.astype(str), return_counts=True)
    return len(classes) < len(set(every)) or counts.min() < 2


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
    low: list[float] = []
    high: list[float] = []
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


def fold_of_sites(labels: np.ndarray, sites: np.ndarray, *, n_folds: int, repeat: int, seed: int) -> np.ndarray:
    """The fold of each patient (n,) int, by the patient's site.

    Raises
    ------
    InputError
        if the sites do not fill the folds.
    """
    counts = pd.crosstab(pd.Series(sites, name="site"), pd.Series(labels, name="label"))
    assigned: Iterable[int]
    if repeat:
        assigned = assign_sites(counts.to_numpy(), n_folds=n_folds, rng=np.random.default_rng([seed, repeat]))
    else:
        assigned = _assigned(tuple(map(tuple, counts.to_numpy().tolist())), n_folds)
    of_site = dict(zip(counts.index, assigned, strict=True))
    return np.array([of_site[site] for site in sites])


@functools.lru_cache(maxsize=8)
def _assigned(counts: tuple[tuple[int, ...], ...], n_folds: int) -> tuple[int, ...]:
    """`assign_sites` without random costs. Kept: labels that are shuffled within sites have the same counts every time."""
    return tuple(assign_sites(np.array(counts), n_folds=n_folds))
