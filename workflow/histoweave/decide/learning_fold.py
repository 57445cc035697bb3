"""One fold of one model, fitted once more on nested parts of its patients; the test patients stay the same.

The whole budget shrinks: of the training and of the validation patients the same share is kept, because a smaller study
would have fewer of both. Settings and seed are those of the full fit.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from histoweave.decide.subsets import nested, priorities
from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.folds import fold_roles
from histoweave.fusion.fusion_fold import fold_patients, tested
from histoweave.fusion.seeds import fold_seed
from histoweave.settings.fusion import Fusion


def learning_fold(
    *,
    model: str,
    k: int,
    patients: pd.DataFrame,
    folds: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    classes: list[str],
    settings: Fusion,
    shares: list[float],
    seed: int,
    device: str,
    summary: Path | None = None,
    projected: Path | None = None,
) -> pd.DataFrame:
    """Test predictions of a fold's model fitted on each share; arguments as of `fusion.fusion_fold.run_fold`.

    The transform of the tiles is that of the whole fold, of all its training patients: it knows no label.

    Returns
    -------
    `share`, `n_fit` (training and validation patients), `patient`, `repeat`, `fold`, `role` (test), `y_true`,
    `has_image`, `has_expression`, `p_<class>`.

    Raises
    ------
    InputError
        for a model that is made of others, or a fold that is not in `folds`.
    """
    info = catalog.get(model)
    if info.needs:
        raise InputError(f"decide.learning_curve.models: '{model}' combines other models; name one that is fitted")
    repeat, fold, roles = fold_roles(folds, k)
    able = fold_patients(
        roles,
        info,
        patients=patients,
        slides=slides,
        expression=expression,
        classes=classes,
        summary=summary,
        projected=projected,
    )
    priority = priorities(list(roles.index[roles != "test"]), seed=seed, k=k)
    own_seed = fold_seed(seed, model, k)
    tables = []
    for share in sorted(set(shares)):
        part = {
            role: able[role].subset(nested(able[role].ids, able[role].codes, priority, share))
            for role in ("train", "val")
        }
        sets = part | {"test": able["test"]}
        table = tested(model, sets, classes=classes, settings=settings, seed=own_seed, device=device)
        n_fit = len(part["train"].ids) + len(part["val"].ids)
        front = {"share": share, "n_fit": n_fit, "repeat": repeat, "fold": fold, "role": "test"}
        tables.append(table.assign(**front))
    columns = ["share", "n_fit", "patient", "repeat", "fold", "role", "y_true", "has_image", "has_expression"]
    return pd.concat(tables, ignore_index=True)[columns + [f"p_{label}" for label in classes]]
