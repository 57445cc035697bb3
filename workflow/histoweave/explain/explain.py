"""From the folds' explanations to the tables of a model: what drives the classes, what was tested, each patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from histoweave.explain.classes import gene_set_table, gene_table, learned_sets
from histoweave.explain.gains import gains
from histoweave.explain.patients import calls, patient_table
from histoweave.explain.truth import N_PLANTED, planted_genes, planted_tiles
from histoweave.explain.verdicts import table_of_tests, verdict
from histoweave.fusion.genes import check_shared, read_gmt
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.explain import Explain


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a simulated cohort: `slides` (`slide`, `level0_mpp`), edge of a tile, planted squares."""

    slides: pd.DataFrame
    tile_um: float
    squares: pd.DataFrame


def summarise(
    *,
    tiles: pd.DataFrame,
    genes: pd.DataFrame,
    faithfulness: pd.DataFrame,
    stability: pd.DataFrame,
    predictions: pd.DataFrame,
    classes: list[str],
    settings: Explain,
    gene_sets: str | None,
    evaluation: Evaluation,
    seed: int,
    truth: Truth | None,
) -> dict[str, pd.DataFrame]:
    """The tables `genes`, `gene_sets`, `tests` and `patients` of `explain/<model>/`.

    Parameters
    ----------
    tiles, genes, faithfulness, stability : of all folds of the first repeat, in their order.
    predictions : of the same folds of the model.
    classes : label values, the positive class last.
    gene_sets : a GMT file; None for the gene tokens of the first fold.
    truth : None for a real cohort.
    """
    called = calls(predictions, classes)
    labels = called["y_true"]
    how: dict[str, Any] = {"draws": evaluation.bootstrap, "confidence": evaluation.confidence, "seed": seed}
    sets = chosen_sets(gene_sets, genes, called)
    gene_means = gene_table(genes, labels, classes, **how)
    planted = [] if truth is None else _planted(tiles, genes, labels, truth, positive=classes[-1], how=how)
    return {
        "genes": gene_means,
        "gene_sets": gene_set_table(genes, gene_means, labels, sets, classes, **how),
        "tests": table_of_tests(gains(faithfulness), stability, planted, **how),
        "patients": patient_table(tiles, genes, called, top_tiles=settings.top_tiles),
    }


def chosen_sets(gene_sets: str | None, genes: pd.DataFrame, called: pd.DataFrame) -> dict[str, list[str]]:
    """The gene sets of a GMT file, or the gene tokens of the first fold.

    Raises
    ------
    InputError
        for a bad GMT file, or one that holds none of the genes.
    """
    if gene_sets:
        sets = read_gmt(gene_sets)
        if len(genes):
            check_shared(sets, list(genes["gene"].unique()), path=gene_sets)
        return sets
    return learned_sets(genes[genes["patient"].map(called["fold"]) == called["fold"].min()])


def _planted(
    tiles: pd.DataFrame, genes: pd.DataFrame, labels: pd.Series, truth: Truth, *, positive: str, how: dict
) -> list[dict]:
    rows = []
    if len(tiles):
        found = planted_tiles(
            tiles,
            positive=positive,
            slides=truth.slides,
            tile_um=truth.tile_um,
            truth=truth.squares,
            bootstrap=how["draws"],
            confidence=how["confidence"],
            seed=how["seed"],
        )
        rows += [
            verdict("planted_tiles_auroc", "image", order, **numbers, chance=0.5)
            for order, numbers in found.set_index("order")[["estimate", "ci_low", "ci_high", "n"]].T.to_dict().items()
        ]
    if len(genes):
        numbers = planted_genes(genes, labels, positive=positive, **how)
        n_planted = numbers.pop("n_planted")
        row = verdict("planted_genes_recall", "expression", "attribution", **numbers)
        row["says"] += (
            f" {n_planted} of {N_PLANTED} such genes were used by the models of at least half of the patients."
        )
        rows.append(row)
    return rows
