"""All fold models of a bundle as one ensemble per model: mean probabilities, and how far the folds disagree."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from histoweave.apply.read import Bundle
from histoweave.evaluation.tempered import rescale
from histoweave.fusion import catalog
from histoweave.fusion.fitted import FittedModel, load_fold
from histoweave.fusion.patients import PatientSet
from histoweave.io import read_table

TEMPERATURES = "calibration/temperatures.parquet"
OK, CANNOT = "ok", "cannot"


def unlabelled(patients: pd.DataFrame, *, slides: pd.DataFrame, expression: pd.DataFrame | None) -> PatientSet:
    """The patients with slides or RNA, as models take them. No label goes in: the codes are all 0.

    Parameters
    ----------
    patients, slides : of the cohort stage. expression : patients × genes, log2, or None.
    """
    usable = patients[patients["has_image"] | patients["has_expression"]].set_index("patient").sort_index()
    table = usable[["has_image", "has_expression"]].astype(bool).assign(code=np.int64(0))
    return PatientSet(table, slides, expression).subset(table.index)


def member_predictions(bundle: Bundle, patients: PatientSet) -> pd.DataFrame:
    """Every fold model's probabilities, after its temperature: `model`, `fold`, `patient`, `p_<class>`.

    A gene that nobody of the cohort has counts as its training mean; a value that one patient lacks takes the training
    median, as in training.
    """
    temperature = _temperatures(bundle)
    types = {"model": "str", "fold": "int64", "patient": "str"} | dict.fromkeys(_columns(bundle), "float64")
    parts = [pd.DataFrame(columns=list(types)).astype(types)]
    for model in bundle.manifest.models:
        able = patients.handled_by(catalog.get(model.name))
        if not able.ids:
            continue
        for k in model.folds:
            fitted = with_mean_for_absent(load_fold(bundle.folder / f"models/{model.name}/fold{k}"), able.expression)
            values, _ = fitted.predict(fitted.batcher(able), image_of=able.ids, expression_of=able.ids)
            values = rescale(values, temperature.get((model.name, k), 1.0))
            head = pd.DataFrame({"model": model.name, "fold": k, "patient": able.ids})
            parts.append(head.join(pd.DataFrame(values, columns=_columns(bundle))))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _columns(bundle: Bundle) -> list[str]:
    return [f"p_{label}" for label in bundle.manifest.classes]


def _temperatures(bundle: Bundle) -> dict[tuple[str, int], float]:
    """(model, k) → temperature; without calibration none."""
    if not bundle.has(TEMPERATURES):
        return {}
    table = read_table(bundle.path(TEMPERATURES))
    return dict(zip(zip(table["model"], table["fold"], strict=True), table["temperature"], strict=True))


def with_mean_for_absent(fitted: FittedModel, expression: pd.DataFrame | None) -> FittedModel:
    """The same model, for which genes that the table has of nobody are filled with the training mean."""
    rna = fitted.transforms.expression
    if rna is None or expression is None:
        return fitted
    given = set(expression.columns[expression.notna().any()])
    absent = np.array([gene not in given for gene in rna.genes])
    filled = dataclasses.replace(rna, fill=np.where(absent, rna.mean, rna.fill))
    return dataclasses.replace(fitted, transforms=dataclasses.replace(fitted.transforms, expression=filled))


def ensemble_predictions(bundle: Bundle, members: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """One row per model and patient, in order of the models, then of the ids; columns as in docs/artefacts.md.

    Parameters
    ----------
    members : of `member_predictions`.
    patients : of the cohort stage, all of them.
    """
    head = patients.sort_values("patient")[["patient", "label", "site", "has_image", "has_expression"]]
    head = head.rename(columns={"label": "y_true"})
    parts = [_of_model(head, model, bundle, members) for model in catalog_order(bundle)]
    front = ["model", "patient", "y_true", "site", "has_image", "has_expression"]
    rest = ["called", "entropy", "disagreement", "n_models", "status", "reason"]
    return pd.concat(parts, ignore_index=True)[[*front, *_columns(bundle), *rest]]


def catalog_order(bundle: Bundle) -> Iterator[catalog.ModelInfo]:
    """The models of a bundle, in its order."""
    return (catalog.get(model.name) for model in bundle.manifest.models)


def _of_model(head: pd.DataFrame, info: catalog.ModelInfo, bundle: Bundle, members: pd.DataFrame) -> pd.DataFrame:
    columns, classes = _columns(bundle), np.array(bundle.manifest.classes, dtype=object)
    grouped = members[members["model"] == info.name].groupby("patient")[columns]
    ids = head["patient"]
    p = grouped.mean().reindex(ids).to_numpy(np.float64)
    spread = grouped.std(ddof=0).mean(axis=1).reindex(ids).to_numpy(np.float64)
    known = ~np.isnan(p).any(axis=1)
    safe = np.where(known[:, None], p, 1.0)
    entropy = -(safe * np.log(np.maximum(safe, np.finfo(np.float64).tiny))).sum(axis=1)
    table = head.reset_index(drop=True).assign(model=info.name, **dict(zip(columns, p.T, strict=True)))
    return table.assign(
        called=np.where(known, classes[safe.argmax(axis=1)], None),
        entropy=np.where(known, entropy, np.nan),
        disagreement=spread,
        n_models=grouped.size().reindex(ids).fillna(0).to_numpy(np.int64),
        status=np.where(known, OK, CANNOT),
        reason=[
            "" if ok else _reason(info, has_image=row.has_image, has_expression=row.has_expression)
            for ok, row in zip(known, head.itertuples(), strict=True)
        ],
    )


def _reason(info: catalog.ModelInfo, *, has_image: bool, has_expression: bool) -> str:
    """Why a model cannot predict a patient."""
    if not has_image and not has_expression:
        return "no usable slide and no RNA"
    lacking = {catalog.IMAGE: "no usable slide", catalog.EXPRESSION: "no RNA"}
    has = {catalog.IMAGE: has_image, catalog.EXPRESSION: has_expression}
    return " and ".join(lacking[modality] for modality in catalog.MODALITIES if not has[modality])
