"""The concepts of a cohort for programs: what the page of concepts says, as JSON."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import pandas as pd

from histoweave.pages.concepts import wording
from histoweave.pages.concepts.cards import LISTED_ASSOCIATIONS, entropy_of, ranked, stronger
from histoweave.pages.concepts.inputs import CohortTables, ConceptReportInputs, ConceptTables, read_tables
from histoweave.pages.kit.json_values import by_status, plain, rows, rows_of
from histoweave.pages.kit.versions import package_versions
from histoweave.privacy.content import pseudonymised
from histoweave.sae.format import load, sae_sha256
from histoweave.storage.files import write_json

# Raised when a key goes or changes its meaning; a key that is added leaves it.
SCHEMA_VERSION = 1
# Scores of the cohort that a dictionary was fitted on, each a list of its rows.
SCORES = ("metrics", "comparisons", "levels", "classes", "probes", "stability")
# Of a cohort that it is applied to.
TRANSFER = ("transfer", "transfer_classes", "shift")
MOST_CONCEPTS = 50
CONCEPT_COLUMNS = (
    "concept", "name", "verdict", "comment", "firing_rate", "mean_activation", "max_activation", "n_images", "dead",
    "dead_by_magnitude", "label_entropy", "top_label", "top_label_share", "monosemanticity",
)  # fmt: skip


def write_concepts_json(cohort: str, dictionaries: Sequence[ConceptReportInputs], out: str | os.PathLike) -> None:
    """Write `concepts.json` (keys: docs/artefacts.md). Equal tables give equal bytes.

    Parameters
    ----------
    cohort : whose file it is.
    dictionaries : the inputs of each dictionary's page. A cohort that dictionaries were fitted on has its own; an
        external one has those of all training cohorts, each with that cohort as its only external one, and no scores.
    """
    first = dictionaries[0]
    parts = [dictionary_content(cohort, inputs, read_tables(inputs)) for inputs in dictionaries]
    external = first.cohort != cohort
    images = (read_tables(first).externals[0] if external else read_tables(first).training).images
    content = {
        "schema": "histoweave.concepts",
        "schema_version": SCHEMA_VERSION,
        "cohort": cohort,
        "role": "external" if external else "train",
        "source": first.sae_settings.source,
        "pseudonyms": first.pseudonyms is not None,
        "images": {**by_status(images), "patients": int(images["patient"].nunique())},
        "dictionaries": parts,
        "config": dict(first.config),
        "versions": package_versions(),
        "code": dict(first.code),
        "inputs_sha256": dict(first.input_sha256),
    }
    write_json(out, content if first.pseudonyms is None else pseudonymised(content, first.pseudonyms))


def dictionary_content(cohort: str, inputs: ConceptReportInputs, tables: ConceptTables) -> dict[str, Any]:
    """What is said of one dictionary; of an external cohort's file, only as far as it concerns that cohort."""
    own = inputs.cohort == cohort
    order = _chosen(tables)
    return {
        "trained_on": inputs.cohort,
        "sae_sha256": sae_sha256(load(inputs.sae)),
        "n_latents": len(tables.training.concepts),
        "key_numbers": [dataclasses.asdict(card) for card in wording.key_numbers(tables)] if own else [],
        "findings": wording.findings(tables),
        **{name: rows(getattr(tables, name)) for name in SCORES},
        "cohorts": [_cohort(each, order, tables) for each in (tables.cohorts if own else tables.externals)],
    }


def _chosen(tables: ConceptTables) -> list[int]:
    """The first `MOST_CONCEPTS` of the gallery's order, and all living ones that were reviewed."""
    concepts = tables.training.concepts
    reviewed = set(concepts.index[(concepts[["name", "verdict", "comment"]] != "").any(axis=1)])
    return [int(each) for place, each in enumerate(ranked(tables)) if place < MOST_CONCEPTS or each in reviewed]


def _cohort(cohort: CohortTables, order: list[int], tables: ConceptTables) -> dict[str, Any]:
    """A cohort as the dictionary sees it."""
    concepts = cohort.concepts
    return {
        "cohort": cohort.name,
        "explained_variance": plain(cohort.explained_variance),
        "l0": plain(cohort.l0),
        "alive": len(cohort.alive),
        "dead_share": plain(concepts["dead"].mean()),
        "dead_by_magnitude_share": plain(concepts["dead_by_magnitude"].mean()),
        **{name: rows(getattr(cohort, name)) for name in TRANSFER},
        "concepts": _concepts(cohort, order, tables.stability_of),
    }


def _concepts(cohort: CohortTables, order: list[int], stability_of: pd.Series) -> list[dict[str, Any]]:
    """The statistics of the chosen concepts in a cohort, each with its strongest associations there."""
    table = cohort.concepts.reindex(order).rename_axis("concept").reset_index()
    table["label_entropy"] = [entropy_of(row) for row in table.to_dict("records")]
    table = table[[column for column in CONCEPT_COLUMNS if column in table]].assign(
        stability=stability_of.reindex(order).to_numpy()
    )
    if cohort.shift_concepts is not None:
        table["cohort_auroc"] = cohort.shift_concepts["cohort_auroc"].reindex(order).to_numpy()
    found = dict(iter(stronger(cohort.associations).groupby("concept")))
    columns = ["target", "value", "auroc", "q", "n_positive"]
    return [
        row | {"associations": rows(found[concept][columns].head(LISTED_ASSOCIATIONS)) if concept in found else []}
        for concept, row in zip(order, rows_of(table), strict=True)
    ]
