"""Why the models predict what they predict, as tables for the page and as data for its browser of patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from histoweave.pages.kit.interactive import rounded
from histoweave.pages.kit.json_values import rows as plain_rows
from histoweave.pages.kit.tables import Cell, Table, estimate, number
from histoweave.pages.report import conclusion
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.pictures import SlidePicture
from histoweave.pages.report.why import morphology as morphology_views

TABLES = (
    "genes", "gene_sets", "tests", "patients", "concepts", "concept_gene_sets", "faithfulness", "stability", "morphology",
    "class_tiles",
)  # fmt: skip
# What is said of classes stands in `report.json`; patients are in their tables.
_FOR_PROGRAMS = ("genes", "gene_sets", "tests", "morphology", "concepts", "concept_gene_sets")
MAX_EXPLAINED = 500
MAX_DRIVERS = 200
TEST_TITLES = {
    "deletion_gain": "Deletion, compared with random order",
    "insertion_gain": "Insertion, compared with random order",
    "stability": "Agreement between the models of two folds",
    "planted_tiles_auroc": "Tiles with the simulated signal, AUROC",
    "planted_genes_recall": "Genes with the simulated signal, recall in the top 20",
}  # fmt: skip
_MODALITIES = {"image": "tiles", "expression": "genes"}
_GENES_IN_TABLE = 5


def modality_title(modality: str) -> str:
    """What of a modality is explained, in plain words."""
    return _MODALITIES.get(modality, modality)


def views(tables: ReportTables) -> dict[str, Any]:
    """What the sections show: tables, empty or None where the run has not made them, and sentences."""
    found = tables.explain
    tests = found.get("tests")
    return {
        "cautions": conclusion.cautions(tables, [tables.explained]),
        "explain_tests": None if tests is None else _tests(tests),
        "explain_says": tests["says"].tolist() if tests is not None and _stands(tables) else [],
        "genes_table": _drivers(found.get("genes"), {"gene": "Gene"}),
        "gene_sets_table": _drivers(found.get("gene_sets"), {"gene_set": "Gene set", "genes": "Genes"}),
        "concepts_table": _drivers(found.get("concepts"), {"concept": "Concept"}),
        "concept_gene_sets": _interactions(found.get("concept_gene_sets")),
        **morphology_views.views(tables),
        "explained_table": _patients(found.get("patients")),
        "n_more_explained": max(0, len(found.get("patients", ())) - MAX_EXPLAINED),
    }


def programs(tables: ReportTables) -> dict[str, Any]:
    """`explain` of `report.json`."""
    found = tables.explain
    return {"explain": {name: plain_rows(found[name]) for name in _FOR_PROGRAMS if name in found}}


def summary(tables: ReportTables) -> list[str]:
    """Which tests the explanation fails, or that it passes them all; and those that attention fails.

    Nothing of a model whose skill is no finding.
    """
    tests = tables.explain.get("tests")
    if tests is None or tests.empty or not _stands(tables):
        return []
    own = tests[tests["order"] == "attribution"]
    failed = own[~own["passed"].astype(bool)]
    said = [f"The explanation fails {len(failed)} of its {len(own)} tests.", *failed["says"]]
    if failed.empty:
        said = [f"The explanation passes all of its {len(own)} tests: it marks what the model relies on."]
    attention = tests[(tests["order"] == "attention") & ~tests["passed"].astype(bool)]
    return said + attention["says"].tolist()


def _stands(tables: ReportTables) -> bool:
    """Whether the skill of the explained model is a finding."""
    return tables.conclusion.stands(tables.explained)


def _tests(tests: pd.DataFrame) -> Table:
    rows = tuple(
        (
            Cell(TEST_TITLES.get(row["test"], row["test"])), Cell(modality_title(row["modality"])), Cell(row["order"]),
            estimate(row), number(row["n"]), Cell("passed" if row["passed"] else "failed ✗"),
        )
        for row in tests.to_dict("records")
    )  # fmt: skip
    return Table(("Test", "Of", "Order by", "Estimate", "Patients", "Result"), rows)


def _drivers(found: pd.DataFrame | None, names: Mapping[str, str]) -> Table:
    """What drives each class, largest first: class, the named columns, mean attribution with its interval."""
    if found is None:
        return Table((), ())
    shown = found[found["rank"] <= MAX_DRIVERS].sort_values(["class", "rank"])
    rows = tuple(
        (
            Cell(str(row["class"])), number(row["rank"]), *(Cell(str(row[column])) for column in names),
            estimate(row, column="mean", digits=4, signed=True), number(row["n"]),
        )
        for row in shown.to_dict("records")
    )  # fmt: skip
    return Table(("Class", "Rank", *names.values(), "Mean attribution", "Patients"), rows)


def _interactions(found: pd.DataFrame | None) -> Table:
    if found is None:
        return Table((), ())
    rows = tuple(
        (
            Cell(str(row["class"])), Cell(str(row["concept"])), Cell(str(row["gene_set"])),
            estimate(row, column="interaction", signed=True), number(row["n"]),
        )
        for row in found.to_dict("records")
    )  # fmt: skip
    return Table(("Class", "Concept", "Gene set", "Correlation", "Patients"), rows)


def _patients(found: pd.DataFrame | None) -> Table:
    """Predictions with their leading genes: what a reader without scripts has of the browser."""
    if found is None:
        return Table((), ())
    rows = tuple(
        (
            Cell(row["patient"]), Cell(str(row["y_true"])),
            Cell(f"{row['called']}{'' if row['called'] == row['y_true'] else ' ✗'}"),
            number(row["p_called"], digits=2),
            Cell(", ".join(f"{gene['gene']} {gene['attribution']:+.2f}" for gene in _list(row["top_genes"])[:_GENES_IN_TABLE]) or "–"),
        )
        for row in found.head(MAX_EXPLAINED).to_dict("records")
    )  # fmt: skip
    return Table(("Patient", "True class", "Predicted class", "Probability", "Leading genes"), rows)


def browser(tables: ReportTables, pictures: Iterable[SlidePicture]) -> list[dict[str, Any]]:
    """One entry per explained patient: predicted class, strongest and weakest tiles, genes, cross-attention.

    A tile is `[slide, x, y, width, height, attribution]` with places as shares of the slide's width and height, or
    `[slide, attribution]` where the page has no view of the slide.
    """
    found = tables.explain.get("patients")
    if found is None:
        return []
    views_of = {picture.slide: picture for picture in pictures if picture.size_lv0}
    return [
        {
            "patient": row["patient"], "true": str(row["y_true"]), "called": str(row["called"]),
            "p": rounded([row["p_called"]])[0], "fold": int(row["fold"]),
            "top": [_tile(tile, views_of) for tile in _list(row["top_tiles"])],
            "bottom": [_tile(tile, views_of) for tile in _list(row["bottom_tiles"])],
            "genes": [[gene["gene"], *rounded([gene["attribution"]])] for gene in _list(row["top_genes"])],
            "tokens": [str(genes) for genes in _list(row["token_genes"])],
            "cross": [rounded(values) for values in _list(row["cross"])],
        }
        for row in found.head(MAX_EXPLAINED).to_dict("records")
    ]  # fmt: skip


def _list(value: Any) -> list:
    """A list column's value; parquet may hold null for a patient without the modality."""
    return [] if value is None or isinstance(value, float) else list(value)


def _tile(tile: Mapping[str, Any], views_of: Mapping[str, SlidePicture]) -> list:
    (score,) = rounded([tile["score"]])
    picture = views_of.get(tile["slide"])
    if picture is None:
        return [tile["slide"], score]
    assert picture.size_lv0 is not None  # see `browser`
    width, height = picture.size_lv0
    place = (tile["x_lv0"] / width, tile["y_lv0"] / height, picture.edge_lv0 / width, picture.edge_lv0 / height)
    return [tile["slide"], *rounded(place), score]
