"""All fold models of a bundle as one ensemble per model: mean probabilities, and how far the folds disagree."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd

from histoweave.apply.contents import fold_model, read_temperatures
from histoweave.apply.read import Bundle
from histoweave.apply.statuses import CANNOT, OK
from histoweave.evaluation.tempered import rescale
from histoweave.fusion import catalog
from histoweave.fusion.fitted import FittedModel
from histoweave.fusion.models.base import Batch
from histoweave.fusion.patients import PatientSet

LARGEST = 1e18  # of float32 values whose squares are to be finite too


def unlabelled(patients: pd.DataFrame, *, slides: pd.DataFrame, expression: pd.DataFrame | None) -> PatientSet:
    """The patients with slides or RNA, as models take them. No label goes in: the codes are all 0.

    Parameters
    ----------
    patients, slides : of the cohort stage. expression : patients × genes, log2, or None.
    """
    usable = patients[patients["has_image"] | patients["has_expression"]].set_index("patient").sort_index()
    table = usable[["has_image", "has_expression"]].astype(bool).assign(code=np.int64(0))
    return PatientSet(table, slides, expression).subset(table.index)


@dataclasses.dataclass(frozen=True)
class Votes:
    """What the fold models say.

    Attributes
    ----------
    table : `model`, `fold`, `patient`, `p_<class>`, a row per fold model and patient that it gives probabilities.
    unusable : (model, patient) → why a fold model gave none although the patient has what it reads.
    """

    table: pd.DataFrame
    unusable: dict[tuple[str, str], str]


def member_predictions(
    bundle: Bundle, patients: PatientSet, *, uncalibrated: Collection[tuple[str, str]] = ()
) -> Votes:
    """Every fold model's probabilities, after its temperature.

    A gene that nobody of the cohort has counts as its training mean (of models of raw values: median); a value that one
    patient lacks takes the training median, as in training. Of a patient with a value beyond float32 after the model's transforms, no vote is counted.

    Parameters
    ----------
    uncalibrated : (model, patient) whose probabilities stay as the models give them, without a temperature.

    Raises
    ------
    InputError
        naming the member of the bundle that is damaged or does not fit its manifest.
    """
    temperature = read_temperatures(bundle)
    types = {"model": "str", "fold": "int64", "patient": "str"} | dict.fromkeys(_columns(bundle), "float64")
    parts = [pd.DataFrame(columns=list(types)).astype(types)]
    unusable: dict[tuple[str, str], str] = {}
    for model in bundle.manifest.models:
        able = patients.handled_by(catalog.get(model.name))
        if not able.ids:
            continue
        for k in model.folds:
            fitted = with_mean_for_absent(fold_model(bundle, model.name, k), able.expression)
            batcher = fitted.batcher(able)
            against = {patient: _too_large(batcher.batch([patient], [patient])) for patient in able.ids}
            ids = [patient for patient in able.ids if not against[patient]]
            values, _ = fitted.predict(batcher, image_of=ids, expression_of=ids)
            raw = np.array([(model.name, patient) in uncalibrated for patient in ids], dtype=bool)
            values = rescale(values, np.where(raw, 1.0, temperature.get((model.name, k), 1.0)))
            voted = np.isfinite(values).all(axis=1)
            against |= dict.fromkeys(
                np.array(ids, dtype=object)[~voted], f"the model of fold {k} gives no probabilities"
            )
            for patient in filter(against.get, against):
                unusable.setdefault((model.name, patient), against[patient])
            head = pd.DataFrame({"model": model.name, "fold": k, "patient": ids})
            parts.append(head.join(pd.DataFrame(values, columns=_columns(bundle)))[voted])
    return Votes(pd.concat(parts[1:] or parts, ignore_index=True), unusable)


def _too_large(batch: Batch) -> str:
    """Why no model can compute with a patient's values, empty if it can."""
    parts = {"a tile feature": batch.tiles, "an RNA value": batch.genes}
    # Written so that NaN counts as too large as well: it comes of infinities alone.
    large = [name for name, values in parts.items() if not (values.abs() < LARGEST).all()]
    return f"{' and '.join(large)} is larger than can be computed with ({LARGEST:g} after scaling)" if large else ""


def _columns(bundle: Bundle) -> list[str]:
    return [f"p_{label}" for label in bundle.manifest.classes]


def with_mean_for_absent(fitted: FittedModel, expression: pd.DataFrame | None) -> FittedModel:
    """The same model, for which genes that the table has of nobody are filled with the training mean."""
    rna = fitted.transforms.expression
    if rna is None or expression is None or fitted.info.genes == "raw":
        return fitted  # of raw values the median of training stands in: a mean of 0 would be below every other gene
    given = set(expression.columns[expression.notna().any()])
    absent = np.array([gene not in given for gene in rna.genes])
    filled = dataclasses.replace(rna, fill=np.where(absent, rna.mean, rna.fill))
    return dataclasses.replace(fitted, transforms=dataclasses.replace(fitted.transforms, expression=filled))


def ensemble_predictions(bundle: Bundle, votes: Votes, patients: pd.DataFrame) -> pd.DataFrame:
    """One row per model and patient, in order of the models, then of the ids; columns as in docs/artefacts.md.

    A patient is predicted by a model only if every one of its fold models voted.

    Parameters
    ----------
    votes : of `member_predictions`.
    patients : of the cohort stage, all of them.
    """
    head = patients.sort_values("patient")[["patient", "label", "site", "has_image", "has_expression"]]
    head = head.rename(columns={"label": "y_true"})
    parts = [_of_model(head, model, bundle, votes) for model in catalog_order(bundle)]
    front = ["model", "patient", "y_true", "site", "has_image", "has_expression"]
    rest = ["called", "entropy", "disagreement", "n_models", "status", "reason"]
    return pd.concat(parts, ignore_index=True)[[*front, *_columns(bundle), *rest]]


def catalog_order(bundle: Bundle) -> Iterator[catalog.ModelInfo]:
    """The models of a bundle, in its order."""
    return (catalog.get(model.name) for model in bundle.manifest.models)


def _of_model(head: pd.DataFrame, info: catalog.ModelInfo, bundle: Bundle, votes: Votes) -> pd.DataFrame:
    columns, classes = _columns(bundle), np.array(bundle.manifest.classes, dtype=object)
    grouped = votes.table[votes.table["model"] == info.name].groupby("patient")[columns]
    ids = head["patient"]
    n_votes = grouped.size().reindex(ids).fillna(0).to_numpy(np.int64)
    known = n_votes == bundle.manifest.n_folds * bundle.manifest.repeats
    p = np.where(known[:, None], grouped.mean().reindex(ids).to_numpy(np.float64), np.nan)
    spread = np.where(known, grouped.std(ddof=0).mean(axis=1).reindex(ids).to_numpy(np.float64), np.nan)
    safe = np.where(known[:, None], p, 1.0)
    entropy = -(safe * np.log(np.maximum(safe, np.finfo(np.float64).tiny))).sum(axis=1)
    table = head.reset_index(drop=True).assign(model=info.name, **dict(zip(columns, p.T, strict=True)))
    return table.assign(
        called=np.where(known, classes[safe.argmax(axis=1)], None),
        entropy=np.where(known, entropy, np.nan),
        disagreement=spread,
        n_models=n_votes,
        status=np.where(known, OK, CANNOT),
        reason=[
            "" if ok else votes.unusable.get((info.name, row.patient)) or _reason(row)
            for ok, row in zip(known, head.itertuples(), strict=True)
        ],
    )


def _reason(row: Any) -> str:
    """Why a model that reads what a patient lacks cannot predict: of `has_image` and `has_expression`."""
    lacking = {"no usable slide": row.has_image, "no RNA": row.has_expression}
    return " and ".join(words for words, has in lacking.items() if not has)
