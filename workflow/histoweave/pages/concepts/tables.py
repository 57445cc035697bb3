"""Tables of the cell arm in the shape the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from histoweave.pages.concepts.cards import TARGET_TITLES, entropy_of, q_cell, ranked, stronger
from histoweave.pages.concepts.inputs import CohortTables, ConceptTables
from histoweave.pages.kit.tables import METRIC_TITLES, Cell, Table, estimate, number, plain_table

MAX_CONCEPT_ROWS = 2000
METRIC = "balanced_accuracy"
LEVEL_TITLES = {"image": "Images", "patient": "Patients"}
REPRESENTATIONS = {
    "concepts": "concepts", "raw": "token mean", "embedding": "encoder's embedding", "pca": "PCA of the token mean",
    "pca_small": "PCA, few components", "kmeans": "k-means codes", "random": "random dictionary",
}  # fmt: skip
PROBED = {"concepts": "Best concept", "raw": "Best dimension of the token mean", "random": "Best random direction"}
MEASURES = {
    "explained_variance": "Explained variance",
    "l0": "Active latents per token (L0)",
    "alive": "Concepts alive",
    "alive_share": "Share of the concepts alive in the training cohort that are alive there",
    "jaccard": "Overlap of the concepts alive (Jaccard index)",
    "spearman_firing_rate": "Rank correlation of frequencies",
    "spearman_mean_activation": "Rank correlation of mean activations",
    "pure_concepts": "Concepts of one class (label entropy below 0.5)",
    "pure_label_kept": "Share of these with the same main class there",
    "pure_label_kept_pure": "Share of these with only this class there too",
    "cohort_auroc_median": "Cohort AUROC of a concept, median (mirrored to above 0.5)",
    "cohort_auroc_stain_free_share": "Share of concepts with a cohort AUROC of 0.4 to 0.6",
    "cohort_auroc_within_label_median": "Cohort AUROC within a class, median (mirrored to above 0.5)",
    "cohort_auroc_within_label_stain_free_share": "Share of concepts with a cohort AUROC within a class of 0.4 to 0.6",
}
_COUNTS = ("alive", "pure_concepts")
_METRICS = ("balanced_accuracy", "auroc", "f1_macro", "f1_weighted", "average_precision", "accuracy")


def title(name: str) -> str:
    """A representation in plain words."""
    return REPRESENTATIONS.get(name, name)


def scores(metrics: pd.DataFrame | None, level: str, metric: str) -> pd.DataFrame:
    """Pooled rows of one level and metric, indexed by representation; empty if there are none."""
    if metrics is None:
        return pd.DataFrame(columns=["estimate", "ci_low", "ci_high"])
    of = (metrics["level"] == level) & (metrics["metric"] == metric) & (metrics["scope"] == "pooled")
    rows = metrics[of].set_index("representation")
    order = [name for name in REPRESENTATIONS if name in rows.index]
    return rows.loc[[*order, *(name for name in rows.index if name not in order)]]


def score_table(metrics: pd.DataFrame | None) -> Table:
    """Levels and representations in rows, metrics in columns."""
    present = [] if metrics is None else [metric for metric in _METRICS if metric in set(metrics["metric"])]
    rows = []
    for level, level_title in LEVEL_TITLES.items():
        by_metric = {metric: scores(metrics, level, metric) for metric in present}
        names = dict.fromkeys(name for table in by_metric.values() for name in table.index)
        for name in names:
            found = {metric: table.loc[name] for metric, table in by_metric.items() if name in table.index}
            cells = (estimate(found.get(metric)) for metric in present)
            rows.append((Cell(level_title), Cell(title(name)), _scored(next(iter(found.values()))), *cells))
    return Table(("Level", "From", "Scored", *(METRIC_TITLES[metric] for metric in present)), tuple(rows))


def _scored(row: Mapping[str, Any] | pd.Series) -> Cell:
    """How many rows of its level were scored."""
    return number(row["n_images"] if row["level"] == "image" else row["n_patients"])


def comparison_table(comparisons: pd.DataFrame | None) -> Table:
    """All paired differences, concepts less a baseline."""
    rows = () if comparisons is None else comparisons.to_dict("records")
    return Table(
        ("Level", "Concepts minus", "Metric", "Difference", "Scored"),
        tuple(
            (
                Cell(LEVEL_TITLES[row["level"]]), Cell(title(row["representation_b"])),
                Cell(METRIC_TITLES[row["metric"]]), estimate(row, column="difference", signed=True), _scored(row),
            )
            for row in rows
        ),
    )  # fmt: skip


def class_table(classes: pd.DataFrame | None) -> Table:
    """Which classes were scored, and why the others were not."""
    if classes is None:
        return Table((), ())
    titles = {
        "level": "Level", "class": "Class", "n_rows": "Rows", "n_patients": "Patients", "n_train": "Rows in training",
        "n_external": "Rows there", "scored": "Scored", "reason": "Reason if not scored",
    }  # fmt: skip
    return plain_table(classes, titles)


def probe_table(probes: pd.DataFrame | None) -> Table:
    """How well a single concept predicts, chosen on train and scored on held-out images; targets in rows."""
    if probes is None:
        return Table((), ())
    pooled = probes[probes["scope"] == "pooled"]
    names = [name for name in PROBED if name in set(pooled["representation"])]
    rows = []
    for (target, value), found in pooled.groupby(["target", "value"], sort=False):
        by_name = found.set_index("representation")
        first = found.iloc[0]
        cells = (estimate(by_name.loc[name] if name in by_name.index else None, column="auroc") for name in names)
        rows.append(
            (
                Cell(target_title(target)), Cell(str(value)), *cells, number(first["n_positive"]),
                number(first["n_images"]),
            )
        )  # fmt: skip
    return Table(("Target", "Value", *(PROBED[name] for name in names), "Images with it", "Images scored"), tuple(rows))


def target_title(target: str) -> str:
    """What concepts are compared with: the labels by a word, attributes by their own name."""
    return TARGET_TITLES.get(target, target)


def cohort_table(tables: ConceptTables) -> Table:
    """One row per cohort: what the dictionary keeps of it, and how many concepts are alive."""
    alive = tables.training.alive
    rows = []
    for cohort in tables.cohorts:
        fires = alive[cohort.concepts["n_images"].reindex(alive, fill_value=0).to_numpy() > 0]
        rows.append(
            (
                Cell(cohort.name), number(int((cohort.images["status"] == "ok").sum())),
                number(len(cohort.refused)), number(cohort.explained_variance, digits=3),
                number(cohort.l0, digits=1), number(len(cohort.alive)),
                number(100 * len(fires) / len(alive) if len(alive) else None, digits=1),
            )
        )  # fmt: skip
    columns = (
        "Cohort", "Images", "Excluded", "Explained variance", "Active per token (L0)", "Concepts alive",
        "Concepts alive in training that are ever active here, %",
    )  # fmt: skip
    return Table(columns, tuple(rows))


def shift_table(shift: pd.DataFrame) -> Table:
    """Measures of one external cohort beside the training cohort's."""
    rows = []
    for row in shift.to_dict("records"):
        digits = 0 if row["measure"] in _COUNTS else 3
        rows.append(
            (
                Cell(MEASURES.get(row["measure"], row["measure"])), number(row["train"], digits=digits),
                estimate(row, column="external", digits=digits),
            )
        )  # fmt: skip
    return Table(("Measure", "Training", "Other laboratory"), tuple(rows))


def refused_table(cohorts: tuple[CohortTables, ...]) -> Table:
    """Every image without tokens, with its reason."""
    tables = [cohort.refused.assign(cohort=cohort.name) for cohort in cohorts]
    titles = {"image": "Image", "cohort": "Cohort", "patient": "Patient", "status": "Status", "reason": "Reason"}
    return plain_table(pd.concat(tables, ignore_index=True), titles)


def concept_table(tables: ConceptTables, shown: Mapping[int, str]) -> tuple[Table, int]:
    """All concepts that are alive, in the gallery's order, at most `MAX_CONCEPT_ROWS`, and how many more there are.

    Parameters
    ----------
    shown: concept → id of its card, to link to.
    """
    order = ranked(tables)
    training = tables.training
    best = stronger(training.associations).drop_duplicates("concept").set_index("concept")
    columns = (
        "Concept", "Name", "Verdict", "Active in, %", "Mean activation", "Maximum", "Label entropy", "Monosemanticity",
        "Stability", "Most associated with", "AUROC", "q",
        *(f"Active in {cohort.name}, %" for cohort in tables.externals),
    )  # fmt: skip
    rows = []
    for concept in order[:MAX_CONCEPT_ROWS]:
        row = training.concepts.loc[concept]
        one = best.loc[concept] if concept in best.index else None
        href = f"#{shown[concept]}" if concept in shown else ""
        rows.append(
            (
                Cell(str(concept), sort=float(concept), number=True, href=href), Cell(row["name"] or "–"),
                Cell(row["verdict"] or "–"), number(100 * row["firing_rate"], digits=1),
                number(row["mean_activation"], digits=4), number(row["max_activation"], digits=3),
                number(entropy_of(row), digits=2),
                number(row["monosemanticity"], digits=2), number(tables.stability_of.get(concept), digits=2),
                Cell("–") if one is None else Cell(f"{target_title(one['target'])}: {one['value']}"),
                number(None if one is None else one["auroc"], digits=2), q_cell(None if one is None else one["q"]),
                *(
                    number(100 * cohort.concepts["firing_rate"].get(concept, float("nan")), digits=1)
                    for cohort in tables.externals
                ),
            )
        )  # fmt: skip
    return Table(columns, tuple(rows)), len(order) - len(rows)


def stability_table(stability: pd.DataFrame | None) -> Table:
    """One row per pair of dictionaries."""
    if stability is None:
        return Table((), ())
    titles = {
        "one": "Dictionary", "other": "Compared with", "n_matched": "Latents matched", "weighted_mean": "Mean cosine, weighted by frequency",
        "null": "The same for random directions", "mean": "Mean cosine", "share": "Share above 0.7",
    }  # fmt: skip
    return plain_table(stability, titles)
