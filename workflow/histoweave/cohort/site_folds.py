"""The side check `sites`: folds that keep whole sites together, beside folds over patients.

Where folds are over patients, a model may know a patient's site from others of it. The references and the main fusion
model are therefore fitted once more with whole sites left out. A side check never ends a run: where whole sites turn out
not to fill the folds, there is a reason in place of folds.
"""

from __future__ import annotations

import pandas as pd

from histoweave.cohort.folds import make_folds
from histoweave.cohort.whole_sites import obstacle, too_few_sites
from histoweave.settings.folds import Folds

FOLD_TYPES = {"patient": "str", "repeat": "int64", "fold": "int64", "role": "str"}


def is_planned(patients: pd.DataFrame, *, settings: Folds) -> bool:
    """Whether a cohort gets the side check, as far as its table of patients tells: who is included is known later.

    With `group_by: auto` it is never asked for: folds keep whole sites together where that is possible.

    Parameters
    ----------
    patients : `label` (None: not included), `site`.
    """
    if settings.group_by != "patient" or not settings.site_check or "site" not in patients:
        return False
    labelled = patients[patients["label"].notna()]
    return len(labelled) > 0 and not too_few_sites(labelled["site"].to_list(), n_folds=settings.n_folds)


def site_check_folds(patients: pd.DataFrame, *, settings: Folds, seed: int, where: str) -> tuple[pd.DataFrame, dict]:
    """Folds of whole sites of the included patients, as of `folds.make_folds`, or none.

    Returns
    -------
    The folds, without a row where `feasible` of the second is False and `why` says what is in the way.
    """
    problem = obstacle(
        patients["label"].to_numpy(dtype=object), patients["site"].to_numpy(dtype=object), settings=settings, seed=seed
    )
    if problem:
        nothing = pd.DataFrame(columns=list(FOLD_TYPES)).astype(FOLD_TYPES)
        why = f"Whole sites cannot be kept together: {problem}."
        return nothing, {"group_by": "site", "asked": settings.group_by, "why": why, "feasible": False}
    whole = settings.model_copy(update={"group_by": "site"})
    folds, how = make_folds(patients, settings=whole, seed=seed, where=where)
    why = "The same patients once more, with whole sites kept together."
    return folds, {**how, "asked": settings.group_by, "why": why, "feasible": True}
