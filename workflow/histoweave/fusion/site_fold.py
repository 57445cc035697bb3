"""One fold of one model with whole sites left out: fitted, and the test patients predicted; nothing else is kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.folds import fold_roles
from histoweave.fusion.fusion_fold import fold_patients, tested
from histoweave.fusion.seeds import fold_seed
from histoweave.settings.fusion import Fusion

_HEAD = {
    "patient": "str", "repeat": "int64", "fold": "int64", "role": "str", "y_true": "str", "has_image": "bool",
    "has_expression": "bool",
}  # fmt: skip


def site_fold(
    *,
    model: str,
    k: int,
    patients: pd.DataFrame,
    folds: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    classes: list[str],
    settings: Fusion,
    seed: int,
    device: str,
    summary: Path | None = None,
    projected: Path | None = None,
) -> tuple[pd.DataFrame, str]:
    """Test predictions of a fold (columns of `predictions.parquet`), and why there are none (empty if there are).

    Arguments as of `fusion_fold.run_fold`; `folds` has no row where whole sites do not fill the folds. What would end a
    fold of the main arm, such as a modality that only one site has, is a reason here.
    """
    columns = _HEAD | {f"p_{label}": "float64" for label in classes}
    nothing = pd.DataFrame(columns=list(columns)).astype(columns)
    if folds.empty:
        return nothing, "whole sites do not fill the folds"
    info = catalog.get(model)
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
    if not able["test"].ids:
        return nothing, "no test patient has what the model reads"
    own_seed = fold_seed(seed, model, k)
    try:
        table = tested(model, able, classes=classes, settings=settings, seed=own_seed, device=device)
    except InputError as error:
        return nothing, str(error)
    return table.assign(repeat=repeat, fold=fold, role="test")[list(columns)], ""
