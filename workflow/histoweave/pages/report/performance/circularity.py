"""Whether predicting the labels of a run is circular, where they or its genes are those of PAM50."""

from __future__ import annotations

from typing import Any

from histoweave.expression.subtypes import are_pam50_classes, are_pam50_genes
from histoweave.fusion.catalog import EXPRESSION
from histoweave.pages.report.inputs import ReportTables

LABELS, GENES = "labels", "genes"


def circularity(tables: ReportTables) -> str:
    """`labels` where a model predicts PAM50 classes from RNA, `genes` where the genes alone are PAM50's, else empty."""
    if EXPRESSION not in tables.modalities:
        return ""
    if are_pam50_classes(tables.classes):
        return LABELS
    return GENES if tables.genes is not None and are_pam50_genes(tables.genes["gene"]) else ""


def content(tables: ReportTables) -> dict[str, Any]:
    """What the section shows."""
    return {"of": circularity(tables)}


def shown_expression(tables: ReportTables) -> dict[str, Any]:
    """How the RNA was read; which PAM50 genes are missing only where the classes or the genes are PAM50's."""
    hidden = {"read"} if circularity(tables) else {"read", "pam50_missing"}
    assert tables.expression is not None
    return {key: value for key, value in tables.expression.items() if key not in hidden}
