"""The explanation of a model in concepts of a dictionary of tile features: two tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from histoweave.explain.concepts import concept_table, contributions, interactions
from histoweave.explain.explain import chosen_sets
from histoweave.explain.patients import calls
from histoweave.sae import format
from histoweave.sae.tokens import tokens_of
from histoweave.settings.evaluation import Evaluation


def explain_concepts(
    *,
    tiles: pd.DataFrame,
    genes: pd.DataFrame,
    predictions: pd.DataFrame,
    dictionary: str | os.PathLike,
    tokens: Sequence[str],
    gene_sets: str | None,
    classes: list[str],
    evaluation: Evaluation,
    seed: int,
    device: torch.device,
) -> dict[str, pd.DataFrame]:
    """The tables `concepts` and `concept_gene_sets` of `explain/<model>/`.

    Parameters
    ----------
    tiles, genes, predictions : of all folds of the first repeat.
    dictionary : folder of a dictionary of tile features. tokens : the indexes of the cohort's feature shards.
    gene_sets : a GMT file; None for the gene tokens of the first fold.
    """
    called = calls(predictions, classes)
    how: dict[str, Any] = {"draws": evaluation.bootstrap, "confidence": evaluation.confidence, "seed": seed}
    found = contributions(
        tiles, tokens=tokens_of(tokens), sae=format.load(Path(dictionary)), classes=classes, device=device
    )
    concepts = concept_table(found, called["y_true"], **how)
    sets = chosen_sets(gene_sets, genes, called)
    return {"concepts": concepts, "concept_gene_sets": interactions(found, concepts, genes, sets, **how)}
