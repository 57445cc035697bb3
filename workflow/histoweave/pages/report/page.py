"""The report as one self-contained HTML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2.utils import htmlsafe_json_dumps

from histoweave.pages.kit import plotly_js as bundle
from histoweave.pages.kit.embed import inline_svg
from histoweave.pages.kit.interactive import as_json
from histoweave.pages.kit.tables import pair_table
from histoweave.pages.kit.template import render
from histoweave.pages.kit.versions import package_versions
from histoweave.pages.report.figures import draw_plots
from histoweave.pages.report.inputs import ReportInputs, ReportTables, read_tables
from histoweave.pages.report.pictures import SlidePicture, slide_pictures
from histoweave.pages.report.sections import FIGURE_FILES, PARTS, SECTIONS, codes
from histoweave.pages.report.why import tables as explain_views
from histoweave.storage.files import write_text


def findings(tables: ReportTables) -> list[str]:
    """What was found besides the conclusion, in the order of the sections; nothing of models whose skill is no finding."""
    return [said for code in codes().values() for said in code.summary(tables)]


def _content(tables: ReportTables) -> dict[str, Any]:
    """What each section shows, by its id; sections that share a function share what it returns."""
    made = {code.content: code.content(tables) for code in codes().values()}
    return {name: made[code.content] for name, code in codes().items()}


def _pictures(inputs: ReportInputs, tables: ReportTables) -> list[SlidePicture]:
    """Pictures of slides; refused slides first: theirs are those that somebody should look at."""
    if tables.slides is None:
        return []
    refused = tables.slides["status"] != "ok"
    order = pd.concat([tables.slides[refused], tables.slides[~refused]])
    return slide_pictures(
        dict(zip(order["slide"], order["status"], strict=True)), thumbnails=inputs.thumbnails, overlays=inputs.overlays
    )


def _layer(picture: SlidePicture) -> dict[str, Any]:
    """What the viewer asks of a slide besides what the page shows of it anyway."""
    return {"slide": picture.slide, "status": picture.status, "overlay": picture.overlay}


def _counts(tables: ReportTables) -> dict[str, int | None]:
    """The numbers in the head of the page; those of slides are None without any."""
    included = tables.patients[tables.patients["included"]]
    slides = tables.slides
    return {
        "n_patients": len(tables.patients),
        "n_included": len(included),
        "n_complete": int(included["complete"].sum()),
        "n_slides": None if slides is None else len(slides),
        "n_ok": None if slides is None else int((slides["status"] == "ok").sum()),
        "n_folds": tables.folds[["repeat", "fold"]].drop_duplicates().shape[0],
        "repeats": int(tables.folds["repeat"].nunique()),
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


def _of_inputs(inputs: ReportInputs, tables: ReportTables) -> dict[str, Any]:
    """What fragments show of the configuration, the code and the other pages of the run."""
    return {
        "centroids": _centroids(inputs, tables),
        "learning_asked": inputs.config.get("decide", {}).get("learning_curve", {}).get("models") != [],
        "links": dict(inputs.links),
        "versions": pair_table(package_versions(), ("Package", "Version")),
        "input_sha256": pair_table(inputs.input_sha256, ("File", "SHA-256")),
        "code": pair_table(inputs.code, ("Stage", "Fingerprint")),
        "config_yaml": yaml.safe_dump(dict(inputs.config), sort_keys=False, allow_unicode=True),
        "seed": inputs.config.get("seed"),
    }


def write_report(inputs: ReportInputs, out: str | os.PathLike) -> None:
    """Write the report of a run to `out`, whole or not at all.

    The file needs no other file and no network. Equal inputs give equal bytes. Parts that a run does not have
    (no slides, no RNA, no negative control, no trained model) are left out with a line that says so.
    """
    tables = read_tables(inputs)
    pictures, plots = _pictures(inputs, tables), draw_plots(tables)
    shown = set() if tables.slides is None else set(tables.slides["slide"]) & set(inputs.thumbnails)
    page = render(
        "page.html.j2",
        folder=Path(__file__).parent,
        styles=("report.css",),
        scripts=("figures.js", "viewer.js", "patients.js"),
        script_hashes=(bundle.plotly_hash(),),
        plotly_js=bundle.plotly_js(),
        plots=plots,
        figures_json=as_json(plots),
        slides_json=htmlsafe_json_dumps([_layer(picture) for picture in pictures]),
        explained_json=htmlsafe_json_dumps(explain_views.browser(tables, pictures)),
        sections={section.id: section.title for section in SECTIONS.values()},
        parts={sections[0].id: part for part, sections in PARTS.items()},
        content=_content(tables),
        findings=findings(tables),
        svgs={
            figure.name: inline_svg(
                inputs.figures / f"{figure.name}.svg", prefix=figure.name.replace("_", "-"), alt=figure.alt
            )
            for figure in FIGURE_FILES
            if figure.alt
        },
        cohort=inputs.cohort,
        simulated=tables.truth is not None,
        classes=list(tables.classes),
        models=tables.models,
        modalities=tables.modalities,
        interval=f"{tables.confidence * 100:g} %",
        pictures=pictures,
        n_more_pictures=len(shown) - len(pictures),
        **_counts(tables),
        **_of_inputs(inputs, tables),
    )
    write_text(out, page)
