"""Numbers per patient in which a cohort is compared with the one that the models were fitted on.

The same functions measure both. A table of measures has one row per patient (its index) and one column per feature.
"""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pandas as pd
import torch

from histoweave.concepts.encode_images import encode_images
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens, slide_blocks

TOTAL, ZEROS, LEVEL, SPREAD = (
    "total of the values", "share of genes at zero", "mean of standardised genes", "spread of standardised genes",
)  # fmt: skip
SPACING, N_TILES, OVERRIDE = "µm per px at level 0", "tiles per patient", "share of spacings from the slides table"
DISTANCE, RESIDUAL = "distance to the training mean", "distance from the training components"
_ROWS = 4096
_TOLERANCE = 1e-3  # relative: values are rounded in files


@dataclasses.dataclass(frozen=True)
class Embedding:
    """Principal components of the training patients' mean tile features.

    Attributes
    ----------
    mean : (D,) float64. loadings : (D,k) float64, orthonormal columns. scale : (k,) standard deviation of each score.
    """

    mean: np.ndarray
    loadings: np.ndarray
    scale: np.ndarray

    def scores(self, means: np.ndarray) -> np.ndarray:
        """(n,D) mean features to (n,k) scores in training standard deviations."""
        return (means - self.mean) @ self.loadings / self.scale


def patient_means(slides: pd.DataFrame) -> pd.DataFrame:
    """Mean tile feature of each patient with a usable slide, over all tiles of the patient: patients × D float64."""
    usable = slides[slides["status"] == "ok"].sort_values(["patient", "slide"])
    means = {}
    for patient, paths in usable.groupby("patient")["features"]:
        total, n = 0.0, 0
        for path in paths:
            with h5py.File(path) as file:
                features = file["features"]
                for first in range(0, len(features), _ROWS):
                    total = total + features[first : first + _ROWS].astype(np.float64).sum(axis=0)
                n += len(features)
        means[patient] = total / n
    return pd.DataFrame.from_dict(means, orient="index", dtype=np.float64)


def image_measures(means: pd.DataFrame, embedding: Embedding) -> pd.DataFrame:
    """Scores on each component, the Mahalanobis distance √Σ score² in their space, and the length of what lies beyond."""
    scores = embedding.scores(means.to_numpy())
    explained = (scores * embedding.scale) @ embedding.loadings.T
    table = pd.DataFrame(scores, index=means.index, columns=[f"component {i + 1}" for i in range(scores.shape[1])])
    table[DISTANCE] = np.sqrt((scores**2).sum(axis=1))
    table[RESIDUAL] = np.linalg.norm(means.to_numpy() - embedding.mean - explained, axis=1)
    return table


def slide_measures(slides: pd.DataFrame) -> pd.DataFrame:
    """Spacing of the patient's slides (mean), how many tiles, and how many spacings the user had to give."""
    usable = slides[slides["status"] == "ok"].assign(override=lambda table: table["mpp_source"] == "override")
    grouped = usable.groupby("patient")
    return pd.DataFrame(
        {
            SPACING: grouped["level0_mpp"].mean(),
            N_TILES: grouped["n_tiles"].sum().astype(np.float64),
            OVERRIDE: grouped["override"].mean(),
        }
    )


def expression_measures(expression: pd.DataFrame, genes: pd.DataFrame, totals: pd.Series) -> pd.DataFrame:
    """Depth, zeros, and mean and standard deviation over the patient's standardised genes.

    Parameters
    ----------
    expression : patients × genes, log2; of `genes` those that it has count.
    genes : index gene; `mean` and `sd` over the training patients.
    totals : patient → sum of the sample's values before normalisation, NaN for log2 values.
    """
    present = [gene for gene in genes.index if gene in expression]
    values = expression[present]
    known = genes.loc[present]
    z = ((values - known["mean"]) / known["sd"].where(known["sd"] > 0)).to_numpy(np.float64)
    defined = ~np.isnan(z)
    n = np.maximum(defined.sum(axis=1), 1)
    mean = np.where(defined, z, 0.0).sum(axis=1) / n
    with np.errstate(over="ignore"):
        spread = np.sqrt(np.where(defined, z - mean[:, None], 0.0).__pow__(2).sum(axis=1) / n)
    table = pd.DataFrame(
        {
            ZEROS: (values == 0).mean(axis=1).to_numpy(),
            LEVEL: mean,
            SPREAD: spread,
        },
        index=expression.index,
    )
    totals = totals.reindex(expression.index)
    return table if totals.isna().all() else table.assign(**{TOTAL: totals})


def concept_measures(slides: pd.DataFrame, dictionary: SparseAutoencoder) -> pd.DataFrame:
    """Share of each patient's tiles that fire each latent: patients × latents."""
    usable = slides[slides["status"] == "ok"].sort_values(["patient", "slide"])
    tokens = Tokens(slide_blocks(dict(zip(usable["slide"], usable["features"], strict=True))))
    found = encode_images(dictionary, tokens, token_threshold=0.0, device=torch.device("cpu"), what="tile features")
    patient = usable.set_index("slide")["patient"].reindex(found.images)
    fired = pd.DataFrame(found.count.toarray()).groupby(patient.to_numpy()).sum()
    return fired.div(pd.Series(found.n_tokens).groupby(patient.to_numpy()).sum(), axis=0).rename(columns=str)


def patient_totals(samples: pd.DataFrame | None) -> pd.Series:
    """Patient → `total` of the sample that was kept."""
    if samples is None:
        return pd.Series(dtype=np.float64)
    kept = samples[samples["kept"]]
    return kept.set_index("patient")["total"]


def beyond(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which values (…, n) lie outside `low` to `high` (n,), by more than rounding; NaN does not."""
    slack = _TOLERANCE * np.maximum(np.abs(low), np.abs(high))
    return (values < low - slack) | (values > high + slack)


def quantiles(table: pd.DataFrame, *, held: float) -> pd.DataFrame:
    """`low`, `median`, `high` of each column (its index), over patients; `held` of them lie from `low` to `high`."""
    tail = (1 - held) / 2
    found = table.quantile([tail, 0.5, 1 - tail]).T
    return found.set_axis(["low", "median", "high"], axis=1)
