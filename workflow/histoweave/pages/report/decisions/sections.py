"""Sections: what the predictions are good for."""

from __future__ import annotations

from histoweave.pages.report.section import Code, FigureFile, Section


def _calibration() -> Code:
    from histoweave.pages.report.decisions import interactive, still, tables

    return Code(
        content=tables.views,
        programs=tables.programs,
        still={"calibration": still.calibration},
        plots={"calibration": interactive.calibration},
    )


def _conformal() -> Code:
    from histoweave.pages.report.decisions import interactive, still, tables

    return Code(content=tables.views, still={"conformal": still.conformal}, plots={"conformal": interactive.conformal})


def _selective() -> Code:
    from histoweave.pages.report.decisions import interactive, still, tables

    return Code(content=tables.views, still={"selective": still.selective}, plots={"selective": interactive.selective})


def _decision_curve() -> Code:
    from histoweave.pages.report.decisions import interactive, still, tables

    return Code(
        content=tables.views,
        still={"decision_curve": still.decision_curve},
        plots={"decision_curve": interactive.decision_curve},
    )


def _subgroups() -> Code:
    from histoweave.pages.report.decisions import still, tables

    return Code(content=tables.views, still={"subgroups": still.subgroups})


def _learning() -> Code:
    from histoweave.pages.report.decisions import interactive, still, tables

    return Code(
        content=tables.views,
        summary=tables.summary,
        still={"learning": still.learning},
        plots={"learning": interactive.learning},
    )


DECISIONS = (
    Section(
        id="calibration",
        title="Calibration",
        code=_calibration,
        figures=(FigureFile(name="calibration", category="Decisions", what="reliability before and after"),),
    ),
    Section(
        id="conformal",
        title="Prediction sets with stated coverage",
        code=_conformal,
        figures=(FigureFile(name="conformal", category="Decisions", what="conformal sets"),),
    ),
    Section(
        id="selective",
        title="Predicting only when confident",
        code=_selective,
        figures=(FigureFile(name="selective", category="Decisions", what="risk and coverage"),),
    ),
    Section(
        id="decision-curve",
        title="Decision curves (net benefit)",
        code=_decision_curve,
        figures=(FigureFile(name="decision_curve", category="Decisions", what="net benefit"),),
    ),
    Section(
        id="subgroups",
        title="Performance by site and subgroup",
        code=_subgroups,
        figures=(FigureFile(name="subgroups", category="Decisions", what="sites and subgroups"),),
    ),
    Section(
        id="learning",
        title="Learning curve",
        code=_learning,
        figures=(FigureFile(name="learning", category="Decisions", what="learning curve"),),
    ),
)
