"""Does a dictionary hold in another laboratory? The frozen dictionary on both cohorts, measure by measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack
from scipy.stats import spearmanr

from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.columns import column_auroc
from histoweave.concepts.score_tables import in_slices
from histoweave.concepts.statistics import label_statistics
from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.settings.concepts import Concepts
from histoweave.settings.evaluation import Evaluation

# A concept is pure if the entropy of its top images' labels (nats) is below this.
PURE_BELOW = 0.5
# AUROC of the cohort from one concept: within these bounds it does not tell the laboratories apart.
SAME_COHORT = (0.4, 0.6)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """A cohort as shift sees it. images: rows of the images table in the order of `activations`."""

    activations: ImageActivations
    images: pd.DataFrame


def shift(
    train: Cohort, external: Cohort, *, settings: Concepts, evaluation: Evaluation, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare an external cohort with the training cohort, both seen through one frozen dictionary.

    A concept is alive in a cohort if it fires in an image and its mean activation over the images in which it fires is at
    least `settings.dead_below`: one threshold for both.

    Returns
    -------
    summary: `measure`, `train`, `external`, `ci_low`, `ci_high`. Explained variance has the mean of the training tokens
    as its baseline in both cohorts. Measures that compare the two have no value in column `train`. The interval is that
    of the external value over its patients, for explained variance and L0 alone: a resampled cohort has fewer different
    images, so in every draw fewer concepts are alive and ranks agree less, and an interval would miss the value itself.
    concepts: one row per latent, `concept` and what `_concept_table` lists.
    """
    concepts = _concept_table(train, external, settings)
    low, high = _sampled(external, evaluation, seed)
    here, there = train.activations, external.activations
    rows = [
        ("explained_variance", here.explained_variance, there.explained_variance, low[0], high[0]),
        ("l0", here.l0, there.l0, low[1], high[1]),
        *((*row, np.nan, np.nan) for row in _concept_measures(concepts)),
    ]
    return pd.DataFrame(rows, columns=["measure", "train", "external", "ci_low", "ci_high"]), concepts


def _sampled(cohort: Cohort, evaluation: Evaluation, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Interval (low, high) of explained variance and L0, each (2,)."""
    found = cohort.activations
    sums = {"error": found.error, "deviation": found.deviation, "active": found.n_active, "tokens": found.n_tokens}
    of_patient = pd.DataFrame(sums).groupby(cohort.images["patient"].to_numpy()).sum().to_numpy(dtype=np.float64)

    def measures(w: np.ndarray) -> np.ndarray:
        error, deviation, active, tokens = (w @ of_patient).T
        return np.column_stack([1 - error / deviation, active / tokens])

    n = len(of_patient)
    _, drawn = bootstrap(in_slices(measures, n), n, draws=evaluation.bootstrap, seed=seed)
    return interval(drawn, confidence=evaluation.confidence)


def _rates(cohort: Cohort, dead_below: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Firing rate, mean activation over the images that fire (NaN if none), alive; each (L,)."""
    matrix = cohort.activations.mean
    n_fires = (matrix > 0).sum(axis=0).A1
    total = matrix.sum(axis=0, dtype=np.float64).A1
    mean = np.divide(total, n_fires, out=np.full(len(total), np.nan), where=n_fires > 0)
    return n_fires / matrix.shape[0], mean, np.nan_to_num(mean) >= max(dead_below, np.finfo(np.float64).tiny)


def _concept_table(train: Cohort, external: Cohort, settings: Concepts) -> pd.DataFrame:
    """Per latent, for both cohorts (`_train`, `_external`): `firing_rate`, `mean_activation`, `alive`, `label_entropy`
    and `top_label` (on the shared labels of `shared_column`); and `cohort_auroc`, `cohort_auroc_within_label`."""
    table = pd.DataFrame({"concept": np.arange(train.activations.n_latents)})
    column = shared_column(train.images, external.images)
    shared = sorted(set(train.images[column].dropna()) & set(external.images[column].dropna()))
    for name, cohort in (("train", train), ("external", external)):
        rate, mean, alive = _rates(cohort, settings.dead_below)
        table[f"firing_rate_{name}"], table[f"mean_activation_{name}"], table[f"alive_{name}"] = rate, mean, alive
        labels = cohort.images[column].astype(object)
        found = label_statistics(
            cohort.activations, cohort.images, labels.where(labels.isin(shared), None), k=settings.top_images
        )
        table[f"label_entropy_{name}"], table[f"top_label_{name}"] = found["label_entropy"], found["top_label"]
    table["cohort_auroc"] = _cohort_auroc(train.activations.mean, external.activations.mean)
    table["cohort_auroc_within_label"] = _within_label(train, external, shared, column)
    return table


def shared_column(train: pd.DataFrame, external: pd.DataFrame) -> str:
    """What both cohorts' images are labelled by: `label` where either has any, `patient_label` of slides, which have none."""
    return "label" if train["label"].notna().any() or external["label"].notna().any() else "patient_label"


def _cohort_auroc(one: csr_matrix, other: csr_matrix) -> np.ndarray:
    """(L,) probability that a latent is higher in an image of the `other` cohort than in one of the first."""
    both = vstack([one, other], format="csr")
    is_other = np.arange(both.shape[0]) >= one.shape[0]
    return column_auroc(both, is_other[:, None])[:, 0]


def _within_label(train: Cohort, external: Cohort, shared: list[str], column: str) -> np.ndarray:
    """The same among images of one label, mean over the shared labels: another mix of cells is no other stain."""
    found = [np.full(train.activations.n_latents, np.nan)] if not shared else []
    for label in shared:
        rows = [(cohort.images[column] == label).to_numpy() for cohort in (train, external)]
        found.append(_cohort_auroc(train.activations.mean[rows[0]], external.activations.mean[rows[1]]))
    return np.mean(found, axis=0)


def _concept_measures(table: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Rows (measure, train, external) that follow from the table of concepts."""
    alive = table["alive_train"]
    pure, still_pure = (_is_pure(table[f"label_entropy_{name}"]) for name in ("train", "external"))
    pure = alive & pure
    same = table["top_label_external"] == table["top_label_train"]
    alive_external, both = table["alive_external"], alive & table["alive_external"]
    either = float((alive | alive_external).sum())
    rows = [
        ("alive", float(alive.sum()), float(alive_external.sum())),
        ("alive_share", np.nan, _share(alive_external, alive)),
        ("jaccard", np.nan, both.sum() / either if either else np.nan),
        ("spearman_firing_rate", np.nan, _spearman(table[alive], "firing_rate")),
        ("spearman_mean_activation", np.nan, _spearman(table[alive], "mean_activation")),
        ("pure_concepts", float(pure.sum()), float((pure & still_pure).sum())),
        ("pure_label_kept", np.nan, _share(same, pure)),
        ("pure_label_kept_pure", np.nan, _share(same & still_pure, pure)),
    ]
    for name in ("cohort_auroc", "cohort_auroc_within_label"):
        values = table.loc[alive, name].dropna()
        far = values.where(values >= 0.5, 1 - values)
        within = values.between(*SAME_COHORT)
        rows += [
            (f"{name}_median", np.nan, float(far.median()) if len(far) else np.nan),
            (f"{name}_stain_free_share", np.nan, float(within.mean()) if len(within) else np.nan),
        ]
    return rows


def _is_pure(entropy: pd.Series) -> pd.Series:
    """One label alone has an entropy of −1e-9; −1 stands for too few images."""
    return entropy.between(-1e-6, PURE_BELOW, inclusive="left")


def _spearman(table: pd.DataFrame, name: str) -> float:
    """Rank correlation over concepts; one that never fires outside ranks lowest there. NaN where all are equal."""
    one, other = table[f"{name}_train"], table[f"{name}_external"].fillna(0)
    return float(spearmanr(one, other).statistic) if min(one.nunique(), other.nunique()) > 1 else np.nan


def _share(part: pd.Series, whole: pd.Series) -> float:
    return float(part[whole].mean()) if whole.any() else np.nan
