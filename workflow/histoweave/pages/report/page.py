"""The report as one self-contained HTML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2.utils import htmlsafe_json_dumps

from histoweave.evaluation import wording
from histoweave.evaluation.metrics import CLASS_METRICS, DIRECTIONS, SHOWN
from histoweave.pages.kit import plotly_js as bundle
from histoweave.pages.kit.embed import inline_svg
from histoweave.pages.kit.interactive import as_json
from histoweave.pages.kit.tables import pair_table, plain_table, settings_table
from histoweave.pages.kit.template import render
from histoweave.pages.kit.versions import package_versions
from histoweave.pages.report import conclusion
from histoweave.pages.report.decisions import tables as decide_views
from histoweave.pages.report.doubts import confounding as confounding_views
from histoweave.pages.report.doubts import control as control_views
from histoweave.pages.report.figures import FIGURES, draw_plots
from histoweave.pages.report.inputs import ReportInputs, ReportTables, read_tables
from histoweave.pages.report.performance import curves as views_curves
from histoweave.pages.report.performance import operating as operating_views
from histoweave.pages.report.performance import tables as views
from histoweave.pages.report.performance.circularity import circularity, shown_expression
from histoweave.pages.report.pictures import SlidePicture, slide_pictures
from histoweave.pages.report.run import files_read as views_read
from histoweave.pages.report.sections import ALT, PARTS, SECTIONS
from histoweave.pages.report.why import tables as explain_views
from histoweave.storage.files import write_text

MUCH_INK = 0.1  # of a slide's stained area


def _slides(inputs: ReportInputs, tables: ReportTables) -> dict[str, Any]:
    """What the page says of the slides; empty tables for a run without slides."""
    if tables.slides is None:
        return {
            "n_slides": 0,
            "refused": None,
            "all_slides": None,
            "much_ink": [],
            "pictures": [],
            "n_more_pictures": 0,
        }
    slides = tables.slides
    refused = slides[slides["status"] != "ok"]
    columns = {
        "slide": "Slide", "patient": "Patient", "status": "Status", "stage": "Excluded in", "reason": "Reason",
    }  # fmt: skip
    more = {
        "n_tiles": "Tiles",
        "n_failed_tiles": "Unreadable tiles",
        "level0_mpp": "µm/px",
        "mpp_source": "Spacing from",
        "pen_share": "Share removed as ink",
    }
    # Refused slides first: theirs are the pictures that somebody should look at.
    order = pd.concat([refused, slides[slides["status"] == "ok"]])
    pictures = slide_pictures(
        dict(zip(order["slide"], order["status"], strict=True)), thumbnails=inputs.thumbnails, overlays=inputs.overlays
    )
    return {
        "n_slides": len(slides),
        "n_ok": len(slides) - len(refused),
        "refused": plain_table(refused, columns),
        "all_slides": plain_table(slides, columns | more),
        "much_ink": _much_ink(slides),
        "pictures": pictures,
        "n_more_pictures": len(set(slides["slide"]) & set(inputs.thumbnails)) - len(pictures),
    }


def _much_ink(slides: pd.DataFrame) -> list[str]:
    """Slides that were used although more than `MUCH_INK` of their stained area was taken out as marker ink."""
    return slides.loc[(slides["status"] == "ok") & (slides["pen_share"] > MUCH_INK), "slide"].tolist()


def _layer(picture: SlidePicture) -> dict[str, Any]:
    """What the viewer asks of a slide besides what the page shows of it anyway."""
    return {"slide": picture.slide, "status": picture.status, "overlay": picture.overlay}


def _genes(tables: ReportTables) -> views.Table | None:
    """Genes with a gap or without a single read: what a reader may want to know of two thousand genes."""
    if tables.genes is None:
        return None
    odd = tables.genes[(tables.genes["n_missing"] > 0) | tables.genes["all_zero"]]
    columns = {
        "gene": "Gene",
        "source_name": "Name in the file",
        "n_missing": "Missing",
        "all_zero": "All zero",
    }
    return plain_table(odd.head(views.MAX_PATIENT_ROWS), columns) if len(odd) else None


def findings(tables: ReportTables) -> list[str]:
    """What was found besides the conclusion, that of explanations and decisions last; nothing of models whose skill is
    no finding."""
    main = views.main_fusion(tables) or ""
    said = wording.summary(
        views.key_comparisons(tables),
        tables.modality_use,
        tables.control_summary,
        model=main if tables.conclusion.stands(main) else "",
        titles=tables.titles,
    )
    said += confounding_views.summary(tables)
    return said + explain_views.summary(tables) + decide_views.summary(tables)


def _doubts(tables: ReportTables) -> dict[str, list[str]]:
    """What stands over the parts of the page that are about models whose skill is no finding."""
    return {
        "fusion": conclusion.cautions(tables, [views.main_fusion(tables)]),
        "explained": conclusion.cautions(tables, [tables.explained]),
        "decided": conclusion.cautions(tables, decide_views.spoken_of(tables)),
    }


def _results(tables: ReportTables) -> dict[str, Any]:
    """Every table of the results, as the template names them."""
    main = views.main_fusion(tables)
    stands, use = tables.conclusion.stands(main or ""), tables.modality_use
    use_rows = use[(use["metric"] == "auroc") & (use["model"] == main)].to_dict("records")
    classes, sites, folds = (views.scopes_like(tables, prefix) for prefix in ("class:", "site:", "fold"))
    all_metrics = list(SHOWN)
    by_patient, n_more_patients = views.patients_table(tables)
    return {
        "summary": findings(tables),
        "conclusion": conclusion.sentences(tables),
        "key_numbers": conclusion.cards(tables),
        "doubts": _doubts(tables),
        "main_title": tables.titles.get(main or "", ""),
        "flow": plain_table(
            tables.flow,
            {
                "step": "Step",
                "unit": "Unit",
                "n_in": "In",
                "n_out": "Kept",
                "n_lost": "Excluded",
                "reason": "Reason",
                "ids": "Excluded ids",
            },
        ),
        "files_read": views_read.files_read(tables),
        "resampled": "whole sites, because the folds keep sites together"
        if tables.folds_how["group_by"] == "site"
        else "patients",
        "folds_table": views.folds_table(tables),
        "folds_how": settings_table({k: v for k, v in tables.folds_how.items() if k != "test_counts"}),
        "directions": DIRECTIONS,
        "pooled": views.metric_table(tables, scopes=["pooled"], metrics=all_metrics),
        "incomplete": views.metric_table(tables, scopes=["incomplete"], metrics=all_metrics),
        "by_fold": views.metric_table(tables, scopes=folds, metrics=all_metrics, scope_title="Fold"),
        "class_grid": views.scope_grid(tables, scopes=classes, metric="auroc", scope_title="Class"),
        "site_grid": views.scope_grid(tables, scopes=sites, metric="auroc", scope_title="Site"),
        "by_class": views.metric_table(tables, scopes=classes, metrics=CLASS_METRICS, scope_title="Class"),
        "by_site": views.metric_table(tables, scopes=sites, metrics=views.SITE_METRICS, scope_title="Site"),
        "findings": [wording.finding(row, tables.titles) for row in views.key_comparisons(tables) if stands],
        "comparisons": views.comparison_table(tables),
        "use_findings": [wording.finding(row, tables.titles) for row in use_rows if stands],
        "modality_use": views.modality_use_table(tables),
        "truth": None if tables.truth is None else views.truth_table(tables),
        "control": control_views.views(tables),
        "trained": any(len(history) for runs in tables.histories.values() for history in runs),
        "by_patient": by_patient,
        "n_more_patients": n_more_patients,
        "throughput": views.throughput_table(tables),
        "slide_speed": views.slide_speed_table(tables),
        "class_counts": operating_views.class_counts_table(tables),
        "operating": operating_views.operating_table(tables),
        "thresholds": operating_views.thresholds_table(tables),
        "operating_says": operating_views.says(tables),
        "sensitivity": views_curves.sensitivity_table(tables),
        "precision": views_curves.precision_table(tables),
        "bins": views_curves.reliability_table(tables),
        "epochs": views_curves.training_table(tables),
        "confounding": confounding_views.views(tables),
        **explain_views.views(tables),
        "decide": decide_views.views(tables),
    }


def _centroids(inputs: ReportInputs, tables: ReportTables) -> str:
    """Which centroids the model `centroid` used; empty where it did not run."""
    if "centroid" not in tables.titles:
        return ""
    given = inputs.config.get("fusion", {}).get("centroids")
    whose = (
        "computed from the training patients of each fold"
        if given is None
        else f"taken from the table {Path(given).name}"
    )
    return f"The centroids of “{tables.titles['centroid']}” are {whose}."


def write_report(inputs: ReportInputs, out: str | os.PathLike) -> None:
    """Write the report of a run to `out`, whole or not at all.

    The file needs no other file and no network. Equal inputs give equal bytes. Parts that a run does not have
    (no slides, no RNA, no negative control, no trained model) are left out with a line that says so.
    """
    tables = read_tables(inputs)
    included = tables.patients[tables.patients["included"]]
    slides = _slides(inputs, tables)
    plots = draw_plots(tables)
    page = render(
        "page.html.j2",
        folder=Path(__file__).parent,
        styles=("report.css",),
        scripts=("figures.js", "viewer.js", "patients.js"),
        script_hashes=(bundle.plotly_hash(),),
        plotly_js=bundle.plotly_js(),
        plots=plots,
        figures_json=as_json(plots),
        centroids=_centroids(inputs, tables),
        slides_json=htmlsafe_json_dumps([_layer(picture) for picture in slides["pictures"]]),
        explained_json=htmlsafe_json_dumps(explain_views.browser(tables, slides["pictures"])),
        links=dict(inputs.links),
        parts=PARTS,
        cohort=inputs.cohort,
        sections=SECTIONS,
        svgs={
            name: inline_svg(inputs.figures / f"{name}.svg", prefix=name.replace("_", "-"), alt=ALT[name])
            for name in FIGURES
        },
        simulated=tables.truth is not None,
        classes=list(tables.classes),
        models=tables.models,
        modalities=tables.modalities,
        n_patients=len(tables.patients),
        n_included=len(included),
        n_complete=int(included["complete"].sum()),
        n_folds=tables.folds[["repeat", "fold"]].drop_duplicates().shape[0],
        repeats=int(tables.folds["repeat"].nunique()),
        expression=None if tables.expression is None else settings_table(shown_expression(tables)),
        circularity=circularity(tables),
        genes=_genes(tables),
        versions=pair_table(package_versions(), ("Package", "Version")),
        input_sha256=pair_table(inputs.input_sha256, ("File", "SHA-256")),
        code=pair_table(inputs.code, ("Stage", "Fingerprint")),
        config_yaml=yaml.safe_dump(dict(inputs.config), sort_keys=False, allow_unicode=True),
        confidence=inputs.config.get("evaluation", {}).get("confidence", 0.95),
        seed=inputs.config.get("seed"),
        learning_asked=inputs.config.get("decide", {}).get("learning_curve", {}).get("models") != [],
        **slides,
        **_results(tables),
    )
    write_text(out, page)
