"""Sections: what a run comes down to, and how well its models predict."""

from __future__ import annotations

from histoweave.pages.report.section import Code, FigureFile, Section


def _conclusion() -> Code:
    from histoweave.pages.report import conclusion

    return Code(content=conclusion.content, programs=conclusion.programs)


def _circularity() -> Code:
    from histoweave.pages.report.performance import circularity

    return Code(content=circularity.content)


OVERVIEW = (
    Section(id="conclusion", title="Conclusion", code=_conclusion, rows=("choice",)),
    Section(id="summary", title="Other findings"),
    Section(id="circularity", title="Are the labels circular?", code=_circularity),
)


def _metrics() -> Code:
    from histoweave.pages.report.performance import content, interactive, still

    return Code(
        content=content.metrics,
        programs=content.class_counts,
        still={"metrics": still.metrics},
        plots={"metrics": interactive.metrics},
    )


def _strata() -> Code:
    from histoweave.pages.report.performance import content

    return Code(content=content.strata)


def _comparisons() -> Code:
    from histoweave.pages.report.performance import content

    return Code(content=content.comparisons, summary=content.comparisons_summary)


def _operating() -> Code:
    from histoweave.pages.report.performance import operating

    return Code(content=operating.content)


def _roc() -> Code:
    from histoweave.pages.report.performance import content, roc

    return Code(content=content.roc, still={"roc_curves": roc.roc_curves}, plots={"roc_curves": roc.roc_plots})


def _pr_curves() -> Code:
    from histoweave.pages.report.performance import content, interactive, still

    return Code(
        content=content.pr_curves, still={"pr_curves": still.pr_curves}, plots={"pr_curves": interactive.pr_curves}
    )


def _reliability() -> Code:
    from histoweave.pages.report.performance import content, interactive, still

    return Code(
        content=content.reliability,
        still={"reliability": still.reliability},
        plots={"reliability": interactive.reliability},
    )


def _confusion() -> Code:
    from histoweave.pages.report.performance import still

    return Code(still={"confusion": still.confusion})


RESULTS = (
    Section(
        id="metrics",
        title="Performance metrics",
        code=_metrics,
        rows=("metrics",),
        figures=(
            FigureFile(
                name="metrics",
                category="Results",
                what="metrics with intervals",
                alt="Forest plot of AUROC and average precision with intervals for every model",
            ),
        ),
    ),
    Section(id="strata", title="Performance by class and site", code=_strata),
    Section(id="comparisons", title="Paired comparisons of models", code=_comparisons, rows=("comparisons",)),
    Section(
        id="operating",
        title="Sensitivity and specificity",
        code=_operating,
        rows=("operating", "operating_thresholds"),
    ),
    Section(
        id="roc",
        title="ROC curves",
        code=_roc,
        figures=(
            FigureFile(
                name="roc_curves",
                category="Results",
                what="ROC curves",
                alt="ROC curve (sensitivity against 1 − specificity) of every model, with the diagonal of a model without skill",
            ),
        ),
    ),
    Section(
        id="pr-curves",
        title="Precision–recall curves",
        code=_pr_curves,
        figures=(
            FigureFile(
                name="pr_curves",
                category="Results",
                what="precision-recall curves",
                alt="Precision against recall for every model, with the level of a model without skill",
            ),
        ),
    ),
    Section(
        id="reliability",
        title="Reliability diagrams",
        code=_reliability,
        rows=("reliability",),
        figures=(
            FigureFile(
                name="reliability",
                category="Results",
                what="reliability",
                alt="Accuracy against confidence for every model, with the expected calibration error",
            ),
        ),
    ),
    Section(
        id="confusion",
        title="Confusion matrices",
        code=_confusion,
        rows=("confusion",),
        figures=(
            FigureFile(
                name="confusion",
                category="Results",
                what="confusion matrices",
                alt="Confusion matrix of every model",
            ),
        ),
    ),
)
