"""The folds of the cross-validation: which patient has which role in the k-th one."""

from __future__ import annotations

import pandas as pd

from histoweave.errors import InputError


def fold_roles(folds: pd.DataFrame, k: int) -> tuple[int, int, pd.Series]:
    """Repeat, fold, and the role of each patient (sorted by patient) of k = repeat × n_folds + fold.

    Raises
    ------
    InputError
        if `folds` has no such fold.
    """
    repeat, fold = divmod(k, int(folds["fold"].max()) + 1)
    roles = folds[(folds["repeat"] == repeat) & (folds["fold"] == fold)].set_index("patient")["role"].sort_index()
    if roles.empty:
        raise InputError(f"folds.parquet: has no repeat {repeat}, fold {fold} (k = {k}); make the folds again")
    return repeat, fold, roles


def roles_of(folds: pd.DataFrame, k: int) -> pd.Series:
    """The roles of `fold_roles`; none where there are no folds at all."""
    return pd.Series(dtype=object) if folds.empty else fold_roles(folds, k)[2]
