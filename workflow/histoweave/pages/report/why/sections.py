"""Sections: why the models predict what they predict."""

from __future__ import annotations

from histoweave.pages.report.section import Code, FigureFile, Section


def _explanation() -> Code:
    from histoweave.pages.report.why import interactive, still, tables

    return Code(
        content=tables.views,
        summary=tables.summary,
        programs=tables.programs,
        still={"explanation_tests": still.tests, "faithfulness": still.faithfulness},
        plots={"faithfulness": interactive.faithfulness},
    )


def _drivers() -> Code:
    from histoweave.pages.report.why import interactive, still, tables

    return Code(
        content=tables.views,
        still={"genes": still.genes, "gene_sets": still.gene_sets, "explained_concepts": still.concepts},
        plots={"genes": interactive.genes, "gene_sets": interactive.gene_sets, "concepts": interactive.concepts},
    )


def _morphology() -> Code:
    from histoweave.pages.report.why import interactive, still, tables

    return Code(
        content=tables.views, still={"morphology": still.morphology}, plots={"morphology": interactive.morphology}
    )


def _explained_patients() -> Code:
    from histoweave.pages.report.why import interactive, tables

    return Code(content=tables.views, plots={"patient": interactive.patient})


EXPLANATIONS = (
    Section(
        id="explanation",
        title="Is the explanation faithful?",
        code=_explanation,
        figures=(
            FigureFile(name="explanation_tests", category="Explanations", what="tests of the explanations"),
            FigureFile(name="faithfulness", category="Explanations", what="deletion and insertion curves"),
        ),
    ),
    Section(
        id="drivers",
        title="Contributions to each class",
        code=_drivers,
        figures=(
            FigureFile(name="genes", category="Explanations", what="genes that drive each class"),
            FigureFile(name="gene_sets", category="Explanations", what="gene sets that drive each class"),
            FigureFile(name="explained_concepts", category="Explanations", what="concepts that drive each class"),
        ),
    ),
    Section(
        id="morphology",
        title="Morphology of each class",
        code=_morphology,
        figures=(FigureFile(name="morphology", category="Explanations", what="morphology of each class"),),
    ),
    Section(id="explained-patients", title="Why this prediction", code=_explained_patients),
)
