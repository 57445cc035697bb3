"""Which concepts the gallery shows, in which order, and what stands on each card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histoweave.pages.concepts.inputs import CohortTables, ConceptTables
from histoweave.pages.kit.tables import Cell, number

CELLS_PER_CARD = 16
LISTED_ASSOCIATIONS = 5
SIGNIFICANT_Q = 0.05
TARGET_TITLES = {"label": "Class", "patient_label": "Patient's class"}


@dataclass(frozen=True)
class Fact:
    """A statistic of a concept: its title, its text, and what it means."""

    title: str
    text: str


@dataclass(frozen=True)
class Shown:
    """An image on a card; `label` is its own, or else its patient's, or empty."""

    image: str
    label: str
    patient: str
    activation: float

    @property
    def value(self) -> str:
        """Its activation as text."""
        return f"{self.activation:.3g}"


@dataclass(frozen=True)
class Group:
    """The strongest images of one cohort, and how the concept fares there."""

    cohort: str
    facts: tuple[Fact, ...]
    images: tuple[Shown, ...]


@dataclass(frozen=True)
class Association:
    """How much higher the concept is in the images with `value` than in the others."""

    target: str
    value: str
    auroc: Cell
    q: Cell
    positive: Cell
    significant: bool

    @property
    def key(self) -> tuple[str, str]:
        """What the filters list."""
        return self.target, self.value


@dataclass(frozen=True)
class Card:
    """One concept. `order` holds what the page can sort by (None: unknown, sorts last)."""

    concept: int
    name: str
    verdict: str
    comment: str
    facts: tuple[Fact, ...]
    associations: tuple[Association, ...]
    groups: tuple[Group, ...]
    order: dict[str, float | None]
    alive_in: tuple[int, ...]

    @property
    def title(self) -> str:
        """The expert's name, or a plain one."""
        return self.name or f"Concept {self.concept}"


def ranked(tables: ConceptTables) -> pd.Index:
    """Concepts that are alive in the training cohort: by the smallest q of their associations, then by firing rate."""
    training = tables.training
    best_q = training.associations.groupby("concept")["q"].min()
    alive = training.concepts.loc[training.alive]
    table = pd.DataFrame({"q": best_q.reindex(alive.index).fillna(np.inf), "firing": -alive["firing_rate"]})
    return table.rename_axis("concept").sort_values(["q", "firing", "concept"]).index


def make_cards(tables: ConceptTables, *, most: int) -> list[Card]:
    """The first `most` concepts of `ranked`, and every living one that was reviewed before."""
    order = ranked(tables)
    concepts = tables.training.concepts
    reviewed = concepts.index[(concepts[["name", "verdict", "comment"]] != "").any(axis=1)]
    shown = [concept for place, concept in enumerate(order) if place < most or concept in reviewed]
    associations = _associations(stronger(tables.training.associations), shown)
    counts = _cells_per_cohort(len(tables.cohorts))
    images = [_images(cohort, shown, count) for cohort, count in zip(tables.cohorts, counts, strict=True)]
    alive = [set(cohort.alive) for cohort in tables.externals]
    cards = []
    for rank, concept in enumerate(shown):
        row = concepts.loc[concept]
        groups = tuple(
            _group(cohort, concept, of_cohort.get(concept, ()), external=place > 0)
            for place, (cohort, of_cohort) in enumerate(zip(tables.cohorts, images, strict=True))
        )
        cards.append(
            Card(
                concept=int(concept), name=row["name"], verdict=row["verdict"], comment=row["comment"],
                facts=_facts(row, tables.stability_of.get(concept)), associations=associations.get(concept, ()),
                groups=groups, order=_order(tables, concept, rank),
                alive_in=tuple(place for place, living in enumerate(alive) if concept in living),
            )
        )  # fmt: skip
    return cards


def _cells_per_cohort(n_cohorts: int) -> list[int]:
    """`CELLS_PER_CARD` shared evenly, what is left over to the training cohort; never fewer than two."""
    each = max(2, CELLS_PER_CARD // n_cohorts)
    return [max(2, CELLS_PER_CARD - each * (n_cohorts - 1)), *[each] * (n_cohorts - 1)]


def _share(value: float) -> str:
    return f"{100 * value:.3g} %" if np.isfinite(value) else "–"


def _text(value: float | None, digits: int = 2) -> str:
    return number(None if value is None else float(value), digits=digits).text


def entropy_of(row: pd.Series) -> float | None:
    """Label entropy, None where there is none; CytoSAE's formula falls short of 0 by 1e-9 for a single label."""
    value = row["label_entropy"]
    return None if value == -1 or np.isnan(value) else max(0.0, float(value))


def _facts(row: pd.Series, stability: float | None) -> tuple[Fact, ...]:
    entropy = "too few images" if row["label_entropy"] == -1 else _text(entropy_of(row))
    return (
        Fact("Mean activation", f"{row['mean_activation']:.3g}"),
        Fact("Maximum", f"{row['max_activation']:.3g}"),
        Fact("Label entropy", entropy),
        Fact("Monosemanticity", _text(row["monosemanticity"])),
        Fact("Stability", _text(stability)),
    )


def _shift(cohort: CohortTables, concept: int, column: str = "cohort_auroc") -> float | None:
    table = cohort.shift_concepts
    return None if table is None or concept not in table.index else float(table.at[concept, column])


def _group(cohort: CohortTables, concept: int, images: Sequence[Shown], *, external: bool) -> Group:
    facts = [Fact("active in", _share(cohort.concepts["firing_rate"].get(concept, np.nan)))]
    if external:
        facts.append(Fact("cohort AUROC", _text(_shift(cohort, concept))))
        within = _shift(cohort, concept, "cohort_auroc_within_label")
        if within is not None and np.isfinite(within):
            facts.append(Fact("within a class", _text(within)))
    return Group(cohort.name, tuple(facts), tuple(images))


def _images(cohort: CohortTables, concepts: Sequence[int], count: int) -> dict[int, list[Shown]]:
    """The first `count` images of each of `concepts` that has any. Tables are read as a whole: a look per image is slow."""
    rows = cohort.top_images[cohort.top_images["concept"].isin(concepts)].groupby("concept").head(count)
    of_image = cohort.images.loc[rows["image"].unique(), ["label", "patient_label", "patient"]]
    texts = of_image.astype(object).where(of_image.notna(), "").astype(str)
    about = dict(zip(texts.index, texts.itertuples(index=False, name=None), strict=True))
    found: dict[int, list[Shown]] = {}
    for concept, image, activation in zip(rows["concept"], rows["image"], rows["activation"], strict=True):
        label, of_patient, patient = about[image]
        found.setdefault(concept, []).append(Shown(image, label or of_patient, patient, float(activation)))
    return found


def stronger(associations: pd.DataFrame) -> pd.DataFrame:
    """Rows of values in whose images a concept is stronger, the surest first. Of two values, one says it all."""
    up = associations[associations["auroc"] > 0.5]
    return up.sort_values(["q", "auroc", "target", "value"], ascending=[True, False, True, True])


def _associations(rows: pd.DataFrame, concepts: Sequence[int]) -> dict[int, tuple[Association, ...]]:
    """Of each of `concepts` that has any, in the order of the rows."""
    found: dict[int, list[Association]] = {}
    for row in rows[rows["concept"].isin(concepts)].itertuples(index=False):
        one = Association(
            target=row.target, value=str(row.value), auroc=number(row.auroc, digits=2), q=q_cell(row.q),
            positive=number(row.n_positive), significant=bool(row.q < SIGNIFICANT_Q),
        )  # fmt: skip
        found.setdefault(row.concept, []).append(one)
    return {concept: tuple(of_concept) for concept, of_concept in found.items()}


def q_cell(q: float | None) -> Cell:
    """A q-value; what is below 1e-16 is nothing that a floating-point number could tell."""
    if q is None or not np.isfinite(q):
        return number(None)
    return Cell("<1e-16" if q < 1e-16 else f"{q:.2g}", sort=float(q), number=True)


def _order(tables: ConceptTables, concept: int, rank: int) -> dict[str, float | None]:
    row = tables.training.concepts.loc[concept]
    values = {
        "rank": rank, "concept": concept, "firing": row["firing_rate"], "mean": row["mean_activation"],
        "max": row["max_activation"],
        "entropy": entropy_of(row),
        "monosemanticity": row["monosemanticity"], "stability": tables.stability_of.get(concept),
    }  # fmt: skip
    for place, cohort in enumerate(tables.externals):  # how far from 0.5, whichever way
        auroc = _shift(cohort, concept)
        values[f"shift{place}"] = None if auroc is None else abs(auroc - 0.5)
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 6)
