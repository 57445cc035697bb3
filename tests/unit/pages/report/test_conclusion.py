"""The conclusion on the page: its cards, and that nothing below it says otherwise."""

from __future__ import annotations

import dataclasses
import re
from html import unescape

import pytest
from conclusion_data import confounding, null_summary
from report_data import write_run
from report_text import text_of

from histoweave.fusion import catalog
from histoweave.pages.report import conclusion
from histoweave.pages.report.inputs import ReportInputs, read_tables
from histoweave.storage.files import write_table


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> ReportInputs:
    return write_run(tmp_path_factory.mktemp("run"))


def test_cards_name_the_best_of_one_modality_and_of_both(run):
    tables = read_tables(run)
    single, fused, difference, models, patients = conclusion.cards(tables)
    pooled = tables.estimates("auroc")["estimate"]
    alone = [name for name in pooled.index if len(catalog.get(name).modalities) == 1]
    both = [name for name in pooled.index if len(catalog.get(name).modalities) == 2]
    complete = tables.predictions[tables.predictions["has_image"] & tables.predictions["has_expression"]]
    rows = tables.choice.set_index(["model_a", "model_b"])["estimate"]
    best = {part: rows.xs("", level=1)[names].idxmax() for part, names in (("alone", alone), ("both", both))}
    assert (single.label, single.note) == ("Best of one modality, AUROC", tables.titles[best["alone"]])
    assert fused.note == tables.titles[best["both"]]
    assert difference.value == f"{rows[best['both'], best['alone']]:+.2f}"
    assert models.value == str(len(catalog.names()) - 1)
    counts = complete.drop_duplicates("patient")["y_true"].value_counts()
    assert patients.value == " · ".join(str(counts[label]) for label in tables.classes)
    assert patients.note == " · ".join(tables.classes)


def test_the_conclusion_stands_on_top_and_nothing_contradicts_it(run, tmp_path):
    said, html = conclusion.sentences(read_tables(run)), unescape(text_of(run, tmp_path / "page.html"))
    assert html.index(said[0]) < html.index("Other findings</h2>") and "describe the model, not biology" not in html
    blind = write_run(tmp_path, signal=0, n_patients=80)
    tables = read_tables(blind)
    assert tables.conclusion.kind == "chance"
    text = unescape(text_of(blind, tmp_path / "report.html"))
    assert "No model is shown to be better than chance." in text
    sections = dict(re.findall(r'<section id="([^"]+)"(.*?)</section>', text, flags=re.DOTALL))
    marked = {name for name, part in sections.items() if "describe the model, not biology" in part}
    marked |= {name for name, part in sections.items() if "describe the models, not biology" in part}
    assert marked == {
        "conclusion", "comparisons", "modality-use", "explanation", "drivers", "morphology", "explained-patients",
        "calibration", "conformal", "selective", "decision-curve", "subgroups", "learning",
    }  # fmt: skip
    for claim in ("relies on", "improves AUROC", "speak for the class have", "is faithful here", "expected to add"):
        assert claim not in text, claim
    assert "relies on" in html and "speak for the class have" in html


def test_a_leak_and_a_site_stand_over_every_part(run, tmp_path):
    tables = read_tables(run)
    leak = null_summary("image", 0.6, 0.55, 0.65, leak=True)
    leaking = dataclasses.replace(tables, control_summary=leak)
    assert leaking.conclusion.kind == "leak" and not leaking.conclusion.stands("cross_attention")
    assert "until the leak is found" in conclusion.cautions(leaking, ["cross_attention"])[0]
    write_table(tmp_path / "leak.parquet", leak)
    text = text_of(dataclasses.replace(run, control_summary=tmp_path / "leak.parquet"), tmp_path / "report.html")
    assert text.count("until the leak is found") == 12
    site = confounding(("label_from_column", "", 0.8, 0.7, 0.9))
    of_site = dataclasses.replace(tables, confounding=site)
    assert of_site.conclusion.kind == "site"
    assert (
        "not shown to carry information beyond the site"
        in conclusion.cautions(of_site, ["image", "cross_attention"])[0]
    )
