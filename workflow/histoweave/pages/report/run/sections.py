"""Sections: what was read and used, and how the run went."""

from __future__ import annotations

from histoweave.pages.report.section import Code, FigureFile, Section


def _cohort_flow() -> Code:
    from histoweave.pages.report.run import content, still

    return Code(content=content.cohort_flow, still={"cohort_flow": still.cohort_flow})


def _refused_slides() -> Code:
    from histoweave.pages.report.run import content

    return Code(content=content.slides, programs=content.slides_by_status)


def _rna() -> Code:
    from histoweave.pages.report.run import content

    return Code(content=content.rna)


def _folds() -> Code:
    from histoweave.pages.report.run import content, still

    return Code(content=content.folds, programs=content.folds_how, still={"folds": still.folds})


DATA = (
    Section(
        id="cohort-flow",
        title="Cohort flow",
        code=_cohort_flow,
        figures=(
            FigureFile(
                name="cohort_flow",
                category="Cohort",
                what="cohort flow",
                alt="Bars: patients, slides and samples kept and excluded at each step",
            ),
        ),
    ),
    Section(id="refused-slides", title="Excluded slides", code=_refused_slides),
    Section(id="contours", title="Tissue contours"),
    Section(id="rna", title="RNA data", code=_rna),
    Section(
        id="folds",
        title="Cross-validation folds",
        code=_folds,
        figures=(
            FigureFile(
                name="folds",
                category="Cohort",
                what="fold composition",
                alt="Grid of patient counts per class and site in the train, validation and test part of every fold",
            ),
        ),
    ),
)


def _training() -> Code:
    from histoweave.pages.report.performance import interactive
    from histoweave.pages.report.run import content, still

    return Code(content=content.training, still={"training": still.training}, plots={"training": interactive.training})


def _patients() -> Code:
    from histoweave.pages.report.run import content

    return Code(content=content.patients)


def _throughput() -> Code:
    from histoweave.pages.report.performance import interactive
    from histoweave.pages.report.run import content, still

    return Code(
        content=content.throughput,
        still={"throughput": still.throughput},
        plots={"throughput": interactive.throughput},
    )


RUN = (
    Section(
        id="training",
        title="Training curves",
        code=_training,
        figures=(
            FigureFile(
                name="training",
                category="Run",
                what="training curves",
                alt="Training and validation loss per epoch and fold for every trained model",
            ),
        ),
    ),
    Section(id="patients", title="Predictions by patient", code=_patients),
    Section(
        id="throughput",
        title="Run time and memory",
        code=_throughput,
        figures=(
            FigureFile(
                name="throughput",
                category="Run",
                what="time per stage",
                alt="Seconds per job for every stage of the run",
            ),
        ),
    ),
    Section(id="elsewhere", title="Other pages"),
    Section(id="provenance", title="Provenance"),
)
