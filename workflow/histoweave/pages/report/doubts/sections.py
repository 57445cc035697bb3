"""Sections: what else may explain a result."""

from __future__ import annotations

from histoweave.pages.report.section import Code, FigureFile, Section


def _confounding() -> Code:
    from histoweave.pages.report.doubts import confounding, still

    return Code(
        content=confounding.views,
        summary=confounding.summary,
        programs=confounding.programs,
        still={"confounding": still.confounding},
    )


def _modality_use() -> Code:
    from histoweave.pages.report.performance import content, still

    return Code(content=content.modality_use, still={"modality_use": still.modality_use})


def _truth() -> Code:
    from histoweave.pages.report.performance import content

    return Code(content=content.truth)


def _control() -> Code:
    from histoweave.pages.report.doubts import control

    return Code(content=control.views, still={"control": control.still}, plots={"control": control.interactive})


CHECKS = (
    Section(
        id="confounding",
        title="Site and other confounders",
        code=_confounding,
        reads={"confounding": "confounding.parquet"},
        rows=("confounding",),
        figures=(
            FigureFile(
                name="confounding",
                category="Checks",
                what="site and other confounders",
                alt="AUROC of every model over all patients, among patients with the same value of the column, and with whole sites left out",
            ),
        ),
    ),
    Section(
        id="modality-use",
        title="Reliance on each modality",
        code=_modality_use,
        rows=("modality_use",),
        figures=(
            FigureFile(
                name="modality_use",
                category="Checks",
                what="modality use",
                alt="AUROC of every model with all modalities from the patient, and with one modality from another patient",
            ),
        ),
    ),
    Section(id="truth", title="Comparison with the simulated truth", code=_truth, rows=("truth",)),
    Section(
        id="control",
        title="Negative control",
        code=_control,
        rows=("control_summary",),
        figures=(
            FigureFile(
                name="control",
                category="Checks",
                what="negative control",
                alt="AUROC of every model with shuffled labels (each shuffle and the mean) and with the true labels",
            ),
        ),
    ),
)
