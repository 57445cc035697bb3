"""One fold of one model, from the cohort's tables to the seven files of `fusion/<model>/fold<k>/`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.fusion.batcher import Batcher
from histoweave.fusion.catalog import MODALITIES, OWN
from histoweave.fusion.fit import fit
from histoweave.fusion.fitted import FittedModel
from histoweave.fusion.folds import fold_roles
from histoweave.fusion.patients import PatientSet
from histoweave.fusion.projected import FoldTiles
from histoweave.fusion.seeds import fold_seed
from histoweave.fusion.tile_summary import read_means
from histoweave.mechanics.repeatable import deterministic
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import write_table

_log = logging.getLogger(__name__)


def patients_by_role(everyone: PatientSet, roles: pd.Series, info: catalog.ModelInfo) -> dict[str, PatientSet]:
    """The patients of a fold that a model can handle, as `train`, `val` and `test`; `roles` is of `fold_roles`."""
    return {role: everyone.subset(roles.index[roles == role]).handled_by(info) for role in ("train", "val", "test")}


def fold_patients(
    roles: pd.Series,
    info: catalog.ModelInfo,
    *,
    patients: pd.DataFrame,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    classes: list[str],
    summary: Path | None,
    projected: Path | None,
) -> dict[str, PatientSet]:
    """The patients of a fold that a model can handle, with what the cohort's tables and files say of them.

    Parameters
    ----------
    summary : `cohort/tile_summary.h5`. projected : the projected tiles of this fold. None where there are no images.

    Raises
    ------
    InputError
        if the tiles were projected for another fold.
    """
    tiles = None if projected is None else FoldTiles.of(projected)
    if tiles is not None:
        wanted = [patient for patient in tiles.file.patients if roles.get(patient) == "train"]
        if wanted != tiles.file.fitted_on:
            raise InputError(f"{projected}: was made for other folds; delete it, and it is made again")
    means = None if summary is None else read_means(summary)
    how: dict[str, Any] = {"expression": expression, "classes": classes, "means": means, "tiles": tiles}
    return patients_by_role(PatientSet.of(patients, slides=slides, **how), roles, info)


def tested(
    model: str, able: dict[str, PatientSet], *, classes: list[str], settings: Fusion, seed: int, device: str
) -> pd.DataFrame:
    """Fit a model that needs no other on `able` (`train`, `val`), and predict its `test` patients; see `predict`."""
    fitted, _ = fit(
        model,
        train_patients=able["train"],
        val_patients=able["val"],
        classes=classes,
        settings=settings,
        seed=seed,
        device=device,
        needs={},
    )
    with deterministic(seed, device=device):
        return predict(fitted, fitted.batcher(able["test"]), able["test"])[0]


def run_fold(
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
    permutations: int,
    device: str,
    out_dir: str | Path,
    summary: Path | None = None,
    projected: Path | None = None,
    needs: dict[str, Path] | None = None,
) -> None:
    """Fit a model on a fold, predict, and write everything that docs/artefacts.md lists for it.

    Parameters
    ----------
    k : repeat × n_folds + fold.
    patients, folds, slides, expression : `cohort/patients.parquet`, `folds.parquet`, `cohort/slides.parquet` and
        `expression/expression.parquet` (None if the cohort has no RNA).
    classes : label values, the positive class last.
    permutations : how often each modality is exchanged between the test patients.
    device : `cpu` or `cuda`.
    summary, projected : as of `fold_patients`; the second is read by the models that are trained in epochs.
    needs : folder of the same fold of each model in the catalog entry's `needs`.

    Raises
    ------
    InputError
        for an unknown model, a fold that is not in `folds`, or patients that the model cannot be fitted on.
    """
    info = catalog.get(model)
    repeat, fold, roles = fold_roles(folds, k)
    how: dict[str, Any] = {"expression": expression, "classes": classes, "summary": summary, "projected": projected}
    able = fold_patients(roles, info, patients=patients, slides=slides, **how)
    own_seed = fold_seed(seed, model, k)
    fitted, history = fit(
        model,
        train_patients=able["train"],
        val_patients=able["val"],
        classes=classes,
        settings=settings,
        seed=own_seed,
        device=device,
        needs=needs or {},
    )
    if info.neural:
        best = history[history["best"]]
        _log.info(
            "%s, k %d: best epochs %s, validation losses %s",
            model,
            k,
            list(best["epoch"]),
            list(best["val_loss"].round(4)),
        )

    out_dir = Path(out_dir)
    record: dict[str, Any] = {"seed": seed, "fold_seed": own_seed, "k": k, "repeat": repeat, "fold": fold}
    record |= {role: able[role].ids for role in ("train", "val")}
    fitted.save(out_dir, record=record)
    write_table(out_dir / "history.parquet", history)
    with deterministic(own_seed, device=device):
        by_role = dict.fromkeys(able, fitted) | {"val": fitted.unseen_by_validation()}
        tables, attention = zip(*(_predict(by_role[role], able[role]) for role in able), strict=True)
        predictions = pd.concat([t.assign(role=role) for t, role in zip(tables, able, strict=True)])
        use = modality_use(fitted, able["test"], permutations=permutations, seed=own_seed)
    front = ["patient", "repeat", "fold", "role", "y_true", "has_image", "has_expression"]
    predictions = predictions.assign(repeat=repeat, fold=fold).sort_values("patient")
    write_table(out_dir / "predictions.parquet", predictions[front + _columns(classes)])
    use.insert(1, "repeat", repeat)
    write_table(out_dir / "modality_use.parquet", use)
    write_table(out_dir / "attention.parquet", attention[-1])


def _columns(classes: tuple[str, ...] | list[str]) -> list[str]:
    return [f"p_{label}" for label in classes]


def _probabilities(fitted: FittedModel, patients: PatientSet, values: np.ndarray) -> pd.DataFrame:
    """`patient`, `y_true`, `p_<class>` of the patients of a set."""
    labels = [fitted.classes[code] for code in patients.codes]
    head = pd.DataFrame({"patient": patients.ids, "y_true": labels}, dtype=object)
    return head.join(pd.DataFrame(values, columns=_columns(fitted.classes)))


def predict(fitted: FittedModel, batcher: Batcher, patients: PatientSet) -> tuple[pd.DataFrame, list]:
    """`patient`, `y_true`, `p_<class>`, `has_<modality>` of the patients of a set, and the tile attention of each."""
    values, attentions = fitted.predict(batcher, image_of=patients.ids, expression_of=patients.ids)
    table = _probabilities(fitted, patients, values)
    for modality in MODALITIES:
        table[f"has_{modality}"] = patients.table[f"has_{modality}"].to_numpy()
    return table, attentions


def _predict(fitted: FittedModel, patients: PatientSet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions, and the attention on the tiles of patients with an image."""
    batcher = fitted.batcher(patients)
    table, attentions = predict(fitted, batcher, patients)
    empty = {"patient": str, "slide": str, "x_lv0": np.int64, "y_lv0": np.int64, "attention": np.float64}
    parts = [pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in empty.items()})]
    for patient, weights in zip(patients.ids, attentions, strict=True):
        if weights is not None:
            part = batcher.coords(patient).assign(attention=weights)
            parts.append(part.assign(patient=patient)[list(empty)])
    return table, pd.concat(parts[1:] or parts, ignore_index=True)


def modality_use(fitted: FittedModel, test: PatientSet, *, permutations: int, seed: int) -> pd.DataFrame:
    """Predictions for complete test patients after one modality came from another of them, and before (`OWN`).

    Each exchange is a random cycle through all patients, so nobody keeps the own modality. Fewer than two patients
    leave nothing to exchange and an empty table. Both are on the fixed sample of a patient's tiles (`FoldTiles.sample`), so
    that the time does not grow with a bag; where a bag is no larger, what was before is the prediction.
    """
    complete = test.subset(test.table.index[test.table["has_image"] & test.table["has_expression"]])
    own, n = complete.ids, len(complete.ids)
    rng = np.random.default_rng(seed)
    rounds = [(OWN, 0, own)] if n > 1 else []
    for modality in MODALITIES:
        for permutation in range(permutations if n > 1 else 0):
            cycle = rng.permutation(n)
            other = np.empty(n, dtype=int)
            other[cycle] = np.roll(cycle, 1)
            rounds.append((modality, permutation, [own[i] for i in other]))
    pairs = [
        pair
        for modality, _, other in rounds
        for pair in (zip(other, own, strict=True) if modality == "image" else zip(own, other, strict=True))
    ]
    distinct = sorted(set(pairs))
    batcher = fitted.batcher(complete)
    values = fitted.exchange(batcher, distinct)
    index = {pair: row for row, pair in enumerate(distinct)}
    front = pd.DataFrame(
        [(modality, permutation) for modality, permutation, _ in rounds for _ in own],
        columns=["modality", "permutation"],
    ).astype({"modality": object, "permutation": np.int64})
    rows = values[[index[pair] for pair in pairs]] if pairs else values
    body = pd.concat(
        [_probabilities(fitted, complete, rows[i * n : (i + 1) * n]) for i in range(len(rounds))]
        or [_probabilities(fitted, complete.subset([]), rows)],
        ignore_index=True,
    )
    return front.join(body)
