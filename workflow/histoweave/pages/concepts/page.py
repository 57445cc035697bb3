"""The page of concepts as one self-contained HTML file."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import pandas as pd
import yaml
from jinja2.utils import htmlsafe_json_dumps

from histoweave.pages.concepts import tables as shapes
from histoweave.pages.concepts import wording
from histoweave.pages.concepts.cards import LISTED_ASSOCIATIONS, SIGNIFICANT_Q, TARGET_TITLES, make_cards
from histoweave.pages.concepts.data import association_keys, page_data
from histoweave.pages.concepts.figures import ALT, draw_figures
from histoweave.pages.concepts.inputs import ConceptReportInputs, ConceptTables, read_tables
from histoweave.pages.concepts.thumbnails import CELL_PX, SLIDE_PX, Thumbnails
from histoweave.pages.kit.embed import inline_svg
from histoweave.pages.kit.tables import pair_table, settings_table
from histoweave.pages.kit.template import render
from histoweave.pages.kit.versions import package_versions
from histoweave.pages.report.performance import tables as views
from histoweave.pages.report.run.files_read import readings_table
from histoweave.privacy.content import pseudonymised
from histoweave.sae.format import load, sae_sha256
from histoweave.storage.files import write_text

SECTIONS = {
    "summary": "Summary",
    "dictionary": "The dictionary",
    "scores": "Classification with concepts",
    "stability": "Stability across seeds",
    "laboratories": "Transfer to other laboratories",
    "refused": "Excluded images",
    "gallery": "Gallery and review",
    "all-concepts": "All concepts",
    "provenance": "Provenance",
}


def write_concept_report(inputs: ConceptReportInputs, out: str | os.PathLike) -> None:
    """Write the page of concepts to `out`, whole or not at all, and its figures to `inputs.figures`.

    The file needs no other file and no network. Equal inputs give equal bytes. Parts that a run does not have are
    left out with a line that says so.
    """
    tables = read_tables(inputs)
    figures = draw_figures(tables=tables, dead_below=inputs.settings.dead_below, out_dir=inputs.figures)
    sae = load(inputs.sae)
    of_tiles = inputs.sae_settings.source == "tiles"
    cards = make_cards(tables, most=inputs.settings.gallery)
    thumbnails = Thumbnails(SLIDE_PX if of_tiles else CELL_PX)
    content = page_data(
        cards, tables, files=[inputs.training, *inputs.externals], sae=sae, sae_sha256=sae_sha256(sae),
        thumbnails=thumbnails,
    )  # fmt: skip
    all_concepts, n_more_concepts = shapes.concept_table(
        tables, {card.concept: f"concept-{card.concept}" for card in cards}
    )
    listed = tables if inputs.pseudonyms is None else pseudonymised(tables, inputs.pseudonyms)
    shown = dict(
        settings=inputs.settings,
        of_tiles=of_tiles,
        image_word="slide" if of_tiles else "cell",
        cards=cards,
        filters=_filters(cards),
        target_titles=TARGET_TITLES,
        listed=LISTED_ASSOCIATIONS,
        significant_q=SIGNIFICANT_Q,
        n_unreadable=thumbnails.unreadable,
        all_concepts=all_concepts,
        n_more_concepts=n_more_concepts,
        metadata=settings_table(dict(sae.metadata)),
        sae_sha256=content["sae_sha256"],
        versions=pair_table(package_versions(), ("Package", "Version")),
        files_read=_files_read(inputs),
        input_sha256=pair_table(inputs.input_sha256, ("File", "SHA-256")),
        code=pair_table(inputs.code, ("Stage", "Fingerprint")),
        config_yaml=yaml.safe_dump(dict(inputs.config), sort_keys=False, allow_unicode=True),
        seed=inputs.config.get("seed"),
        **_results(inputs, listed),
    )
    # Pictures and maps are found by the ids, so that these are replaced when everything has been looked up.
    if inputs.pseudonyms is not None:
        shown, content = (pseudonymised(part, inputs.pseudonyms) for part in (shown, content))
    page = render(
        "concepts.html.j2",
        folder=Path(__file__).parent,
        styles=("gallery.css",),
        scripts=("review_csv.js", "gallery.js", "review.js"),
        cohort=inputs.cohort,
        sections=SECTIONS,
        data=htmlsafe_json_dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        svgs={name: inline_svg(path, prefix=name.replace("_", "-"), alt=ALT[name]) for name, path in figures.items()},
        **shown,
    )
    write_text(out, page)


def _files_read(inputs: ConceptReportInputs) -> views.Table:
    """What was read of the users' tables; ids are replaced here, where it is known which columns hold them."""
    table = pd.DataFrame([reading.to_dict() for reading in inputs.readings])
    table = table if inputs.pseudonyms is None else pseudonymised(table, inputs.pseudonyms)
    return readings_table(table)


def _results(inputs: ConceptReportInputs, tables: ConceptTables) -> dict:
    """Every table and sentence of the results, as the template names them."""
    training = tables.training
    return {
        "training": training,
        "externals": tables.externals,
        "key_numbers": wording.key_numbers(tables),
        "findings": wording.findings(tables),
        "dictionary": wording.dictionary(tables, inputs.sae_settings, inputs.settings),
        "unscored": wording.unscored(tables.levels),
        "scores": shapes.score_table(tables.metrics),
        "comparisons": shapes.comparison_table(tables.comparisons),
        "classes": shapes.class_table(tables.classes),
        "probes": shapes.probe_table(tables.probes),
        "stability": shapes.stability_table(tables.stability),
        "cohort_rows": shapes.cohort_table(tables),
        "shifts": [
            {
                "name": cohort.name,
                "measures": None if cohort.shift is None else shapes.shift_table(cohort.shift),
                "transfer": shapes.score_table(cohort.transfer),
                "classes": shapes.class_table(cohort.transfer_classes),
            }
            for cohort in tables.externals
        ],
        "refused": shapes.refused_table(tables.cohorts),
        "n_images": sum(len(cohort.images) for cohort in tables.cohorts),
        "confidence": inputs.config.get("evaluation", {}).get("confidence", 0.95),
    }


def _filters(cards: list) -> dict[str, list[tuple[str, list[tuple[int, str]]]]]:
    """What the two lists of associations offer: kind → (title of a target, its (place, value) pairs)."""
    keys = list(enumerate(association_keys(cards)))
    groups = [
        (target, [(place, key[1]) for place, key in rows]) for target, rows in groupby(keys, lambda each: each[1][0])
    ]
    return {
        "classes": [(TARGET_TITLES[target], rows) for target, rows in groups if target in TARGET_TITLES],
        "attributes": [(target, rows) for target, rows in groups if target not in TARGET_TITLES],
    }
