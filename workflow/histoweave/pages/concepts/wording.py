"""The findings of the cell arm in plain words. A difference counts only if its interval excludes 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from histoweave.evaluation.shown import estimate_text
from histoweave.pages.concepts.inputs import ConceptTables
from histoweave.pages.concepts.tables import LEVEL_TITLES, METRIC, scores, title
from histoweave.pages.kit.tables import KeyNumber, estimate, number
from histoweave.settings.concepts import Concepts
from histoweave.settings.sae import Sae

_VARIANTS = {
    "standard": "ReLU with an L1 penalty", "topk": "TopK, at most {k} active per token",
    "batchtopk": "BatchTopK, {k} active per token on average, applied with one fixed threshold per latent",
    "matryoshka": "Matryoshka BatchTopK, {k} active per token on average, applied with one fixed threshold per latent",
}  # fmt: skip
_SCORING = {
    "fold": "For scoring, each image is encoded by a dictionary that was fitted without it (one dictionary per fold). "
    "The concepts below come from one more dictionary, fitted on the whole training cohort.",
    "global": "Concepts and scores come from one dictionary, fitted without labels on all images of the training cohort. "
    "It has seen the scored images, but not their labels: read the scores as those of a global, unsupervised "
    "representation.",
}
# Differences that the summary puts into words, in this order.
_RIVALS = ("embedding", "raw", "random")


def dictionary(tables: ConceptTables, sae: Sae, concepts: Concepts) -> list[str]:
    """What the dictionary is, how much of it is alive, what it keeps, and how it was fitted."""
    training = tables.training
    n = len(training.concepts)
    never = int(training.concepts["dead"].sum())
    faint = n - never - len(training.alive)
    tokens = "cells" if sae.source == "cells" else "tiles"
    return [
        f"The dictionary has {n:,} latents ({sae.expansion} per dimension of a token; "
        f"{_VARIANTS[sae.variant].format(k=sae.k)}), fitted on tokens of {tokens}.",
        f"In {training.name}, {never:,} latents are never active and {faint:,} more are active only weakly (mean activation "
        f"below {concepts.dead_below:g} where they are active). {len(training.alive):,} are alive: active often and strongly "
        "enough.",
        f"The dictionary explains {training.explained_variance:.1%} of the variance of the tokens around their mean, with "
        f"{training.l0:.1f} active latents per token.",
        _SCORING[sae.scoring],
    ]


def findings(tables: ConceptTables) -> list[str]:
    """Do concepts score, against what; are they the same from another seed; do they hold elsewhere."""
    sentences = [sentence for level in LEVEL_TITLES if (sentence := _scored(tables, level))]
    if tables.stability is not None and len(tables.stability):
        mean = tables.stability[["weighted_mean", "mean", "null"]].mean()
        sentences.append(
            f"Dictionaries from different seeds agree with a mean cosine of {mean['weighted_mean']:.2f}, weighted by how often "
            f"latents are active ({mean['mean']:.2f} unweighted, over all latents). Random directions reach "
            f"{mean['null']:.2f}."
        )
    return sentences + [_elsewhere(tables, place) for place in range(len(tables.externals))]


def _scored(tables: ConceptTables, level: str) -> str:
    """Balanced accuracy of concepts at one level and beside the baselines; empty if nothing was classified."""
    found = scores(tables.metrics, level, METRIC)
    if "concepts" not in found.index or not np.isfinite(found.at["concepts", "estimate"]):
        return ""
    rivals = [part for rival in _RIVALS if rival in found.index and (part := _against(tables, found, level, rival))]
    start = f"{LEVEL_TITLES[level]}: concepts reach a balanced accuracy of {_with_interval(found.loc['concepts'])}"
    return f"{start}. {' '.join(rivals)}" if rivals else f"{start}."


def _against(tables: ConceptTables, found: pd.DataFrame, level: str, rival: str) -> str:
    """The paired difference to one baseline; empty if it was not compared."""
    row = _comparison(tables.comparisons, level, rival)
    if row is None:
        return ""
    start = f"Compared with the {title(rival)} ({number(found.at[rival, 'estimate'], digits=2).text})"
    if not np.isfinite(row["ci_low"]):
        return f"{start}: too few patients to tell."
    amount = estimate_text(row["difference"], row["ci_low"], row["ci_high"], signed=True)
    if row["ci_high"] < 0:
        return f"{start} they perform worse: {amount}."
    if row["ci_low"] > 0:
        return f"{start} they perform better: {amount}."
    return f"{start} there is no evidence of a difference: {amount}."


def _comparison(comparisons: pd.DataFrame | None, level: str, rival: str) -> Mapping[str, Any] | None:
    if comparisons is None:
        return None
    names = ["level", "metric", "representation_a", "representation_b"]
    rows = comparisons[(comparisons[names] == [level, METRIC, "concepts", rival]).all(axis=1)]
    return None if rows.empty else rows.iloc[0].to_dict()


def _with_interval(row: pd.Series) -> str:
    cell = estimate(row, digits=2)
    return f"{cell.text} {cell.small}".strip()


def _elsewhere(tables: ConceptTables, place: int) -> str:
    """How many of the concepts alive are active and alive in an external cohort, and whether they separate the cohorts."""
    cohort, alive = tables.externals[place], tables.training.alive
    if not len(alive):
        return f"{cohort.name}: not compared, because no concept is alive in {tables.training.name}."
    fires = (cohort.concepts["n_images"].reindex(alive, fill_value=0) > 0).mean()
    lives = alive.isin(cohort.alive).mean()
    text = (
        f"{cohort.name}: of the concepts alive in {tables.training.name}, {fires:.0%} are active in at least one image there and {lives:.0%} "
        f"are alive there. Explained variance is {cohort.explained_variance:.1%} there and "
        f"{tables.training.explained_variance:.1%} in {tables.training.name}"
    )
    if cohort.shift_concepts is None:
        return f"{text}."
    auroc = cohort.shift_concepts["cohort_auroc"].reindex(alive).dropna()
    if not len(auroc):
        return f"{text}."
    same = auroc.between(0.4, 0.6).mean()
    return f"{text}. {same:.0%} of the concepts do not separate the two cohorts (cohort AUROC of 0.4 to 0.6)."


def unscored(levels: pd.DataFrame | None) -> list[str]:
    """Why a level was not classified, one line each."""
    rows = [] if levels is None else levels[levels["reason"] != ""].to_dict("records")
    return [f"{LEVEL_TITLES[row['level']]} were not classified: {row['reason']}." for row in rows]


def key_numbers(tables: ConceptTables) -> list[KeyNumber]:
    """The numbers on top: living concepts, explained variance, and the concepts' score at each level."""
    training = tables.training
    cards = [
        KeyNumber(
            "Concepts alive", number(len(training.alive)).text, f"of {len(training.concepts):,} latents",
            "active often and strongly enough",
        ),
        KeyNumber(
            "Variance explained", f"{training.explained_variance:.1%}", f"{training.l0:.1f} active latents per token",
            training.name,
        ),
    ]  # fmt: skip
    for level in LEVEL_TITLES:
        found = scores(tables.metrics, level, METRIC)
        if "concepts" in found.index and np.isfinite(found.at["concepts", "estimate"]):
            cell = estimate(found.loc["concepts"], digits=2)
            rival = number(found["estimate"].get("embedding"), digits=2).text
            label = f"{LEVEL_TITLES[level]}, balanced accuracy"
            cards.append(KeyNumber(label, cell.text, cell.small, f"from concepts; embedding: {rival}"))
    return cards
