"""What a bundle holds, read and held against its manifest: fold models, temperatures, conformal scores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from histoweave.apply import reference
from histoweave.apply.manifest import Manifest
from histoweave.apply.read import Bundle
from histoweave.errors import InputError, short
from histoweave.evaluation.tempered import BOUNDS
from histoweave.fusion import catalog
from histoweave.fusion.fitted import FittedModel, load_fold
from histoweave.sae import format
from histoweave.storage.given_tables import Kind, has_column, read_given_table
from histoweave.storage.strict_json import read_object

TEMPERATURES = "calibration/temperatures.parquet"
SCORES = "calibration/conformal_scores.parquet"
_MEND = "copy the bundle again"
_ROUNDING = 1e-6


def check_contents(bundle: Bundle) -> None:
    """Read everything that an application will read, before hours of work end at it.

    Raises
    ------
    InputError
        naming the first member that is damaged or does not fit the manifest.
    """
    for model in bundle.manifest.models:
        for k in model.folds:
            fold_model(bundle, model.name, k)
        _check_different(bundle, model.name, model.folds)
    read_temperatures(bundle)
    read_scores(bundle)
    for member in (reference.SUMMARY, reference.GENES, reference.CONCEPTS, reference.SCANNERS):
        if bundle.has(member):
            reference.read_reference(bundle.folder, member)
    if bundle.has(reference.QUANTILES):
        reference.read_quantiles(bundle.folder)
    encoder = bundle.manifest.encoder
    if encoder and bundle.has(reference.FEATURES):
        reference.read_features(bundle.folder, dim=encoder.dim)
    if encoder and bundle.has(reference.EMBEDDING):
        reference.read_embedding(bundle.path(reference.EMBEDDING), dim=encoder.dim)
    if encoder and bundle.manifest.concepts:
        format.load(bundle.folder / "sae").check_dim(encoder.dim, what=str(bundle.folder / "sae"))


def fold_model(bundle: Bundle, name: str, k: int) -> FittedModel:
    """The model `name` of fold k.

    Raises
    ------
    InputError
        if one of its members is damaged, or is of another model, another fold, other classes, another encoder or other
        genes than the manifest says.
    """
    folder, manifest = bundle.folder / f"models/{name}/fold{k}", bundle.manifest
    fitted = load_fold(folder)
    if fitted.info.name != name:
        raise InputError(
            f"{folder / 'config.json'}: is of model '{fitted.info.name}', not '{name}'; make the bundle again"
        )
    own_k = read_object(folder / "config.json", mend=_MEND).get("k", k)
    if type(own_k) is not int or own_k != k:
        raise InputError(f"{folder / 'config.json'}: is of fold {short(own_k)}, not {k}; make the bundle again")
    if list(fitted.classes) != manifest.classes:
        raise InputError(
            f"{folder / 'config.json'}: its classes are {', '.join(fitted.classes):.200}, those of the bundle "
            f"{', '.join(manifest.classes):.200}, in this order; make the bundle again"
        )
    image, rna = fitted.transforms.image, fitted.transforms.expression
    encoder, expression = manifest.encoder, manifest.expression
    if image is not None:
        assert encoder is not None  # the manifest has one where a model reads images
        if len(image.mean) != encoder.dim:
            raise InputError(
                f"{folder / 'transforms.parquet'}: takes features of {len(image.mean)} values, the encoder of the bundle "
                f"gives {encoder.dim}; make the bundle again"
            )
    if rna is None:
        return fitted
    assert expression is not None  # likewise
    if strange := sorted(set(rna.kept_genes) - set(expression.genes)):
        raise InputError(
            f"{folder / 'transforms.parquet'}: reads gene '{strange[0]:.80}', which is none of the bundle's; make the bundle again"
        )
    if fitted.settings.expression_transform != expression.transform:
        raise InputError(
            f"{folder / 'config.json'}: was fitted on {fitted.settings.expression_transform}, the bundle is said to read "
            f"{expression.transform}; make the bundle again"
        )
    return fitted


def _check_different(bundle: Bundle, name: str, folds: Iterable[int]) -> None:
    """InputError if two folds have the same weights, or the same transforms: one of them would vote twice.

    The prevalence reads no modality, and may come out the same from other patients; so may the votes of a few pairs of
    genes, whose transforms differ.
    """
    info = catalog.get(name)
    if not info.modalities:
        return
    for file in ("transforms.parquet",) if info.genes == "raw" else ("model.safetensors", "transforms.parquet"):
        seen: dict[str, int] = {}
        for k in folds:
            member = f"models/{name}/fold{k}/{file}"
            first = seen.setdefault(bundle.manifest.files[member], k)
            if first != k:
                raise InputError(f"{bundle.path(member)}: is the one of fold {first}; make the bundle again")


def read_temperatures(bundle: Bundle) -> dict[tuple[str, int], float]:
    """(model, k) → temperature; without calibration none.

    Raises
    ------
    InputError
        if the member is damaged, a temperature is out of range, or a model does not have one of each fold.
    """
    if not bundle.has(TEMPERATURES):
        return {}
    path = bundle.path(TEMPERATURES)
    table = read_given_table(path, {"model": "text", "fold": "whole", "temperature": "number"}, mend=_MEND)
    _check_folds(table, bundle.manifest, path=path)
    if (twice := table.duplicated(["model", "fold"])).any():
        row = table[twice].iloc[0]
        raise InputError(f"{path}: has two temperatures of model '{row['model']}', fold {row['fold']}; {_MEND}")
    low, high = BOUNDS[0] * (1 - _ROUNDING), BOUNDS[1] * (1 + _ROUNDING)
    if (odd := table[~table["temperature"].between(low, high)]).size:
        row = odd.iloc[0]
        raise InputError(
            f"{path}: temperature {row['temperature']:g} of model '{row['model']}', fold {row['fold']} is not from "
            f"{BOUNDS[0]:g} to {BOUNDS[1]:g}; {_MEND}"
        )
    return dict(zip(zip(table["model"], table["fold"], strict=True), table["temperature"], strict=True))


def read_scores(bundle: Bundle) -> pd.DataFrame | None:
    """`model`, `fold`, `y_true`, `score` of the training patients, None for a bundle without; without `y_true` where the
    bundle was made before there were sets by class.

    Raises
    ------
    InputError
        if the member is damaged, a score is not from 0 to 1, a class is none of the bundle, or a model has scores of some
        folds and not of others.
    """
    if not bundle.has(SCORES):
        return None
    path = bundle.path(SCORES)
    columns: dict[str, Kind] = {"model": "text", "fold": "whole", "score": "number"}
    table = read_given_table(path, columns, mend=_MEND)
    if has_column(path, "y_true"):
        table = read_given_table(path, columns | {"y_true": "text"}, mend=_MEND)
    if "y_true" in table and (strange := sorted(set(table["y_true"]) - set(bundle.manifest.classes))):
        raise InputError(f"{path}: class '{strange[0]:.60}' is none of the bundle; {_MEND}")
    _check_folds(table, bundle.manifest, path=path)
    if (odd := table[~table["score"].between(-_ROUNDING, 1 + _ROUNDING)]).size:
        row = odd.iloc[0]
        raise InputError(
            f"{path}: score {row['score']:g} of model '{row['model']}', fold {row['fold']} is not from 0 to 1; {_MEND}"
        )
    return table


def _check_folds(table: pd.DataFrame, manifest: Manifest, *, path: Path) -> None:
    """InputError unless every model of the table is one of the bundle, with exactly its folds. A model may be absent."""
    folds = {model.name: set(model.folds) for model in manifest.models}
    for name, rows in table.groupby("model"):
        if name not in folds:
            raise InputError(f"{path}: model '{name:.60}' is none of the bundle; {_MEND}")
        if odd := sorted(set(rows["fold"]) ^ folds[name]):
            what = "lacks" if odd[0] in folds[name] else "has no model of"
            raise InputError(f"{path}: model '{name}' {what} fold {odd[0]}; {_MEND}")
