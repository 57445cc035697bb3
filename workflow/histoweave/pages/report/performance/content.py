"""What the sections on performance show: tables and sentences by the names of their fragments of the page."""

from __future__ import annotations

from typing import Any

from histoweave.evaluation import wording
from histoweave.evaluation.metrics import CLASS_METRICS, DIRECTIONS, SHOWN
from histoweave.pages.kit.json_values import rows
from histoweave.pages.report import conclusion
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.models import main_fusion
from histoweave.pages.report.performance import curves, operating
from histoweave.pages.report.performance import tables as views


def metrics(tables: ReportTables) -> dict[str, Any]:
    folds = views.scopes_like(tables, "fold")
    return {
        "directions": DIRECTIONS,
        "class_counts": operating.class_counts_table(tables),
        "pooled": views.metric_table(tables, scopes=["pooled"], metrics=SHOWN),
        "by_fold": views.metric_table(tables, scopes=folds, metrics=SHOWN, scope_title="Fold"),
        "incomplete": views.metric_table(tables, scopes=["incomplete"], metrics=SHOWN),
    }


def class_counts(tables: ReportTables) -> dict[str, Any]:
    """`class_counts` for programs."""
    return {"class_counts": rows(operating.class_counts(tables))}


def strata(tables: ReportTables) -> dict[str, Any]:
    classes, sites = (views.scopes_like(tables, prefix) for prefix in ("class:", "site:"))
    return {
        "class_grid": views.scope_grid(tables, scopes=classes, metric="auroc", scope_title="Class"),
        "site_grid": views.scope_grid(tables, scopes=sites, metric="auroc", scope_title="Site"),
        "by_class": views.metric_table(tables, scopes=classes, metrics=CLASS_METRICS, scope_title="Class"),
        "by_site": views.metric_table(tables, scopes=sites, metrics=views.SITE_METRICS, scope_title="Site"),
    }


def comparisons(tables: ReportTables) -> dict[str, Any]:
    main = main_fusion(tables)
    found = views.key_comparisons(tables) if tables.conclusion.stands(main or "") else []
    return {
        "cautions": conclusion.cautions(tables, [main]),
        "main_title": tables.titles.get(main or "", ""),
        "findings": [wording.finding(row, tables.titles) for row in found],
        "all": views.comparison_table(tables),
    }


def comparisons_summary(tables: ReportTables) -> list[str]:
    """How the main fusion model compares with the others, what it relies on, and what the negative control found; nothing
    of a model whose skill is no finding."""
    main = main_fusion(tables) or ""
    return wording.summary(
        views.key_comparisons(tables),
        tables.modality_use,
        tables.control_summary,
        model=main if tables.conclusion.stands(main) else "",
        titles=tables.titles,
    )


def roc(tables: ReportTables) -> dict[str, Any]:
    return {"sensitivity": curves.sensitivity_table(tables)}


def pr_curves(tables: ReportTables) -> dict[str, Any]:
    return {"precision": curves.precision_table(tables)}


def reliability(tables: ReportTables) -> dict[str, Any]:
    return {"bins": curves.reliability_table(tables)}


def modality_use(tables: ReportTables) -> dict[str, Any]:
    main, use = main_fusion(tables), tables.modality_use
    found = (
        use[(use["metric"] == "auroc") & (use["model"] == main)] if tables.conclusion.stands(main or "") else use[:0]
    )
    return {
        "cautions": conclusion.cautions(tables, [main]),
        "findings": [wording.finding(row, tables.titles) for row in found.to_dict("records")],
        "all": views.modality_use_table(tables),
    }


def truth(tables: ReportTables) -> dict[str, Any]:
    return {"table": None if tables.truth is None else views.truth_table(tables)}
