"""What is kept of the training cohort to compare others with: quantiles and components, no patient and no id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from histoweave.apply.align import quantiles_of
from histoweave.apply.measures import (
    DISTANCE,
    OVERRIDE,
    RESIDUAL,
    Embedding,
    concept_measures,
    expression_measures,
    image_measures,
    patient_means,
    quantiles,
    slide_measures,
)
from histoweave.apply.reference import (
    CONCEPTS,
    EMBEDDING,
    FEATURES,
    GENES,
    QUANTILES,
    RANGE,
    SCANNERS,
    SUMMARY,
    WIDE_RANGE,
)
from histoweave.apply.scanners import scanner_shares
from histoweave.sae.model import SparseAutoencoder
from histoweave.storage.files import atomic_path, write_table

MAX_COMPONENTS = 10
_PATIENTS_PER_COMPONENT = 10
_LEAST_PATIENTS = 5
_PARTS = 5


def measure_reference(
    folder: Path,
    *,
    slides: pd.DataFrame,
    expression: pd.DataFrame | None,
    totals: pd.Series,
    genes: list[str],
    dictionary: SparseAutoencoder | None,
) -> None:
    """Measure the training cohort and write the reference into `folder`.

    Parameters
    ----------
    slides, expression : of the included patients; expression patients × genes, log2, None without RNA.
    totals : patient → sum of the sample's values.
    genes : those that any model reads.
    dictionary : of tile features, None without one.
    """
    parts = []
    if slides["status"].eq("ok").any():
        parts.append(_slide_reference(slide_measures(slides)).assign(modality="slides"))
        write_table(folder / SCANNERS, scanner_shares(slides))
        means = patient_means(slides)
        if len(means) >= _LEAST_PATIENTS:
            features = quantiles(means, held=WIDE_RANGE).rename(index=str).rename_axis("feature").reset_index()
            write_table(folder / FEATURES, features)
            embedding = principal_components(means.to_numpy())
            tensors = {name: np.ascontiguousarray(value) for name, value in vars(embedding).items()}
            with atomic_path(folder / EMBEDDING) as temporary:
                save_file(tensors, temporary)
            parts.append(quantiles(held_out_measures(means, embedding), held=RANGE).assign(modality="image"))
        if dictionary is not None:
            write_table(
                folder / CONCEPTS,
                quantiles(concept_measures(slides, dictionary), held=WIDE_RANGE).rename_axis("concept").reset_index(),
            )
    if expression is not None and genes:
        values = expression[genes]
        half = values.quantile([0.25, 0.75]).T.set_axis(["lower", "upper"], axis=1)
        table = quantiles(values, held=WIDE_RANGE).join(half).assign(mean=values.mean(), sd=values.std(ddof=0))
        write_table(folder / GENES, table.rename_axis("gene").reset_index())
        grid = pd.Series(list(quantiles_of(values).to_numpy()), index=values.columns, name="quantiles")
        write_table(folder / QUANTILES, grid.rename_axis("gene").reset_index())
        parts.append(quantiles(expression_measures(values, table, totals), held=RANGE).assign(modality="expression"))
    columns = ["modality", "feature", "low", "median", "high"]
    summary = pd.concat([part.rename_axis("feature").reset_index() for part in parts], ignore_index=True)
    write_table(folder / SUMMARY, summary[columns])


def _slide_reference(measured: pd.DataFrame) -> pd.DataFrame:
    """Quantiles; of the share of spacings that the user gave, its mean ± ½, since most patients have all or none."""
    table = quantiles(measured, held=RANGE)
    share = measured[OVERRIDE].mean()
    table.loc[OVERRIDE] = [max(share - 0.5, 0.0), share, min(share + 0.5, 1.0)]
    return table


def principal_components(means: np.ndarray, *, n_components: int | None = None) -> Embedding:
    """Components of (n,D) mean features: at most ten, and no more than one per ten patients (at least one)."""
    n = len(means)
    wanted = n_components or min(MAX_COMPONENTS, max(1, n // _PATIENTS_PER_COMPONENT))
    mean = means.mean(axis=0)
    _, singular, rows = np.linalg.svd(means - mean, full_matrices=False)
    k = min(wanted, max(1, int((singular > 1e-9).sum())))
    loadings = rows[:k].T
    # A component's sign is arbitrary: its largest loading is made positive.
    loadings = loadings * np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(k)])
    scale = singular[:k] / np.sqrt(n - 1)
    return Embedding(mean, loadings, np.where(scale > 1e-12, scale, 1.0))


def held_out_measures(means: pd.DataFrame, embedding: Embedding) -> pd.DataFrame:
    """The image measures of the training patients themselves.

    Distances are to components of the others: five parts, each measured by components of the other four. To their own,
    patients lie too near, and the reference would be too narrow for anybody new.
    """
    measured = image_measures(means, embedding)
    part = np.arange(len(means)) % _PARTS
    for held_out in range(min(_PARTS, len(means))):
        others = principal_components(means[part != held_out].to_numpy(), n_components=embedding.loadings.shape[1])
        found = image_measures(means[part == held_out], others)
        measured.loc[found.index, [DISTANCE, RESIDUAL]] = found[[DISTANCE, RESIDUAL]]
    return measured
