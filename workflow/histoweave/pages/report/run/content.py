"""What the sections on the data and the run show: tables by the names of their fragments of the page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from histoweave.pages.kit.json_values import by_status
from histoweave.pages.kit.tables import plain_table, settings_table
from histoweave.pages.report.inputs import ReportTables
from histoweave.pages.report.performance import curves
from histoweave.pages.report.performance import tables as views
from histoweave.pages.report.performance.circularity import shown_expression
from histoweave.pages.report.run.files_read import files_read

MUCH_INK = 0.1  # of a slide's stained area
_FLOW = {
    "step": "Step", "unit": "Unit", "n_in": "In", "n_out": "Kept", "n_lost": "Excluded", "reason": "Reason",
    "ids": "Excluded ids",
}  # fmt: skip
_REFUSED = {"slide": "Slide", "patient": "Patient", "status": "Status", "stage": "Excluded in", "reason": "Reason"}
_SLIDES = _REFUSED | {
    "n_tiles": "Tiles", "n_failed_tiles": "Unreadable tiles", "level0_mpp": "µm/px", "mpp_source": "Spacing from",
    "pen_share": "Share removed as ink",
}  # fmt: skip
# What a reader may want to know of two thousand genes: which have a gap, or not a single read.
_GENES = {"gene": "Gene", "source_name": "Name in the file", "n_missing": "Missing", "all_zero": "All zero"}


def cohort_flow(tables: ReportTables) -> dict[str, Any]:
    return {"flow": plain_table(tables.flow, _FLOW), "files_read": files_read(tables)}


def slides(tables: ReportTables) -> dict[str, Any]:
    """Nothing for a run without slides."""
    if tables.slides is None:
        return {}
    return {
        "refused": plain_table(tables.slides[tables.slides["status"] != "ok"], _REFUSED),
        "much_ink": _much_ink(tables.slides),
        "all": plain_table(tables.slides, _SLIDES),
    }


def _much_ink(slides: pd.DataFrame) -> list[str]:
    """Slides that were used although more than `MUCH_INK` of their stained area was taken out as marker ink."""
    return slides.loc[(slides["status"] == "ok") & (slides["pen_share"] > MUCH_INK), "slide"].tolist()


def slides_by_status(tables: ReportTables) -> dict[str, Any]:
    """`slides` for programs."""
    return {"slides": None if tables.slides is None else by_status(tables.slides)}


def rna(tables: ReportTables) -> dict[str, Any]:
    """Nothing for a run without RNA."""
    if tables.expression is None:
        return {}
    odd = (
        tables.genes
        if tables.genes is None
        else tables.genes[(tables.genes["n_missing"] > 0) | tables.genes["all_zero"]]
    )
    return {
        "how": settings_table(shown_expression(tables)),
        "genes": None if odd is None else plain_table(odd.head(views.MAX_PATIENT_ROWS), _GENES),
    }


def folds(tables: ReportTables) -> dict[str, Any]:
    return {
        "how": settings_table({key: value for key, value in tables.folds_how.items() if key != "test_counts"}),
        "table": views.folds_table(tables),
    }


def folds_how(tables: ReportTables) -> dict[str, Any]:
    """`folds` for programs."""
    return {"folds": tables.folds_how}


def training(tables: ReportTables) -> dict[str, Any]:
    return {
        "trained": any(len(history) for runs in tables.histories.values() for history in runs),
        "epochs": curves.training_table(tables),
    }


def patients(tables: ReportTables) -> dict[str, Any]:
    table, n_more = views.patients_table(tables)
    return {"table": table, "n_more": n_more}


def throughput(tables: ReportTables) -> dict[str, Any]:
    return {"stages": views.throughput_table(tables), "slide_speed": views.slide_speed_table(tables)}
