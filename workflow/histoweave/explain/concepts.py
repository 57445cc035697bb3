"""The same explanation in concepts: which concepts' tiles carry a call, and with which gene sets they go together.

The dictionary is that of the whole cohort, fitted without labels; it explains and is never scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from histoweave.errors import InputError
from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.explain.classes import class_means, gene_set_sums
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Block, Tokens, read

# Concepts of a class whose interaction with gene sets is looked at: the leading ones.
TOP_CONCEPTS = 20
_MAX_VALUES = 1 << 24  # tiles at once × latents


def contributions(
    tiles: pd.DataFrame, *, tokens: Tokens, sae: SparseAutoencoder, classes: list[str], device: torch.device
) -> dict[str, pd.DataFrame]:
    """What each concept adds to each patient's log-odds, through the tiles that show it.

    A tile's attribution is shared out among its active latents by their activations: the contribution of concept j is
    Σ over the patient's tiles of a_tile · f_j / Σ_i f_i. A tile without an active latent gives to none.

    Parameters
    ----------
    tiles : `patient`, `slide`, `x_lv0`, `y_lv0`, `a_<class>`; of a slide, all tiles in the order of its feature file.
    tokens : tile features, a block per slide.

    Returns
    -------
    Class → patients × concepts (float64), of the concepts that are active in any tile.

    Raises
    ------
    InputError
        if a slide's features are not those that the tiles were explained on.
    """
    sae = sae.to(device)
    blocks = {block.image: block for block in tokens.blocks}
    columns = [f"a_{name}" for name in classes]
    patients = sorted(tiles["patient"].unique())
    found = np.zeros((len(classes), len(patients), sae.n_latents))
    for (patient, slide), rows in tiles.groupby(["patient", "slide"]):
        if slide not in blocks or len(blocks[slide]) != len(rows):
            raise InputError(
                f"slide '{slide}': its features are not those that were explained; explain the folds again"
            )
        found[:, patients.index(patient)] += _of_slide(sae, blocks[slide], rows[columns].to_numpy())
    active = np.flatnonzero((found != 0).any(axis=(0, 1)))
    return {
        name: pd.DataFrame(values[:, active], index=pd.Index(patients, name="patient"), columns=active)
        for name, values in zip(classes, found, strict=True)
    }


def _of_slide(sae: SparseAutoencoder, block: Block, attribution: np.ndarray) -> np.ndarray:
    """(C,L) contributions of a slide's concepts, given (N,C) attributions of its tiles."""
    values = torch.from_numpy(read([block]))
    sae.check_dim(values.shape[1], what=block.path)
    total = np.zeros((attribution.shape[1], sae.n_latents))
    step = max(1, _MAX_VALUES // sae.n_latents)
    for part, given in zip(values.split(step), torch.from_numpy(attribution).split(step), strict=True):
        f = sae.encode(part.to(sae.w_enc.device)).double().cpu()
        shares = f / f.sum(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        total += (given.T @ shares).numpy()
    return total


def concept_table(found: Mapping[str, pd.DataFrame], labels: pd.Series, **bootstrap_of: Any) -> pd.DataFrame:
    """`concepts.parquet`: `class`, `concept`, `mean`, `ci_low`, `ci_high`, `rank`, `n`, over patients of the class."""
    parts = []
    for name, values in found.items():
        own = values[labels.reindex(values.index) == name]
        table = class_means(own.loc[:, (own != 0).any()], **bootstrap_of).rename_axis("concept").reset_index()
        parts.append(table.assign(concept=table["concept"].astype("int64"), **{"class": name}))
    table = pd.concat(parts, ignore_index=True)
    return table[["class", *(column for column in table if column != "class")]]


def interactions(
    found: Mapping[str, pd.DataFrame],
    concepts: pd.DataFrame,
    genes: pd.DataFrame,
    sets: Mapping[str, list[str]],
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """`concept_gene_sets.parquet`: `class`, `concept`, `gene_set`, `interaction`, `ci_low`, `ci_high`, `n`.

    The interaction is Pearson's correlation, over all patients with both modalities, of the concept's contribution to
    a class with the gene set's attribution for it. Looked at are each class's leading concepts.

    genes : `patient`, `gene`, `a_<class>` of all folds.
    """
    columns = ["class", "concept", "gene_set", "interaction", "ci_low", "ci_high", "n"]
    rows = []
    for name, values in found.items():
        sums = gene_set_sums(genes, sets, f"a_{name}")
        both = values.index.intersection(sums.index)
        leading = concepts.loc[concepts["class"] == name, "concept"].head(TOP_CONCEPTS)
        if both.empty or sums.columns.empty or leading.empty:
            continue
        x, y = values.loc[both, leading].to_numpy(), sums.loc[both].to_numpy()
        estimate, drawn = bootstrap(_correlations(x, y), len(both), draws=draws, seed=seed)
        low, high = interval(drawn, confidence=confidence)
        pairs = [(concept, gene_set) for concept in leading for gene_set in sums]
        rows += [(name, *pair, *numbers, len(both)) for pair, *numbers in zip(pairs, estimate, low, high, strict=True)]
    kinds = dict.fromkeys(("concept", "n"), "int64") | dict.fromkeys(("interaction", "ci_low", "ci_high"), float)
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def _correlations(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A statistic for `bootstrap`: Pearson's correlation of each column of (n,K) with each of (n,S), (b, K·S).

    NaN where a column does not vary among the drawn patients.
    """
    x, y = _scaled(x), _scaled(y)
    products = (x[:, :, None] * y[:, None, :]).reshape(len(x), -1)

    def statistic(weights: np.ndarray) -> np.ndarray:
        w = weights / weights.sum(axis=1, keepdims=True)
        mean_x, mean_y = w @ x, w @ y
        covariance = (w @ products).reshape(len(w), x.shape[1], y.shape[1]) - mean_x[:, :, None] * mean_y[:, None, :]
        variance_x, variance_y = w @ x**2 - mean_x**2, w @ y**2 - mean_y**2
        variance = variance_x[:, :, None] * variance_y[:, None, :]
        varies = (variance_x > 1e-12)[:, :, None] & (variance_y > 1e-12)[:, None, :]
        deviations = np.sqrt(np.maximum(variance, 0))
        found = np.divide(covariance, deviations, out=np.full(variance.shape, np.nan), where=varies)
        return found.reshape(len(w), -1)

    return statistic


def _scaled(values: np.ndarray) -> np.ndarray:
    """Columns (n,K) with mean 0 and largest magnitude 1, so that small ones keep their digits; constant ones 0."""
    centred = values - values.mean(axis=0)
    largest = np.abs(centred).max(axis=0)
    return np.divide(centred, largest, out=np.zeros_like(centred), where=largest > 0)
