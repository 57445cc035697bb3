"""The page of concepts: what it says is what the tables say; escaped, light, complete, repeatable."""

from __future__ import annotations

import base64
import dataclasses
import html as html_module
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from concept_page import Page, write_page
from concept_report_data import HOSTILE, LABELS, QUOTED, add_review, write_concept_run
from PIL import Image

from histoweave.concepts.encode_images import patch_maps
from histoweave.pages.concepts import wording
from histoweave.pages.concepts.cards import make_cards, ranked
from histoweave.pages.concepts.figures import ALT
from histoweave.pages.concepts.inputs import ConceptReportInputs, read_tables
from histoweave.pages.concepts.maps import TokenMap, as_bytes
from histoweave.pages.concepts.page import SECTIONS
from histoweave.pages.concepts.tables import concept_table, score_table, shift_table
from histoweave.pages.concepts.thumbnails import CELL_PX, Thumbnails
from histoweave.pages.kit.style import THEME
from histoweave.sae.format import load, sae_sha256
from histoweave.sae.tokens import Tokens, cell_blocks


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> ConceptReportInputs:
    inputs = write_concept_run(tmp_path_factory.mktemp("run"))
    add_review(inputs, {3: (f"band {HOSTILE}", "accepted"), 5: ('=HYPERLINK("x")', ""), 7: ("", "rejected")})
    return inputs


@pytest.fixture(scope="module")
def html(run, tmp_path_factory) -> str:
    return write_page(run, tmp_path_factory.mktemp("page") / "concepts.html")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_every_section_is_there_in_order_and_linked(page):
    assert [section["id"] for section in page.all("section")] == list(SECTIONS)
    links = [a["href"] for a in page.all("a")]
    assert all(f"#{name}" in links for name in SECTIONS)


def test_equal_inputs_give_equal_bytes(run, html, tmp_path):
    again = dataclasses.replace(run, figures=tmp_path / "figures")
    assert write_page(again, tmp_path / "concepts.html") == html
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(ALT)


def test_nothing_is_fetched_and_every_reference_resolves(page, html):
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, name)
    assert "http://" not in html and "https://" not in html and "@import" not in html
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r"url\(#([^)]+)\)", html) + re.findall(r'href="#([^"]+)"', html)
    assert set(targets) <= set(ids)
    labelled = [attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes]
    assert set(labelled) <= set(ids)


def test_text_of_users_is_escaped(page, html):
    assert HOSTILE not in html and "<script>alert" not in html
    # The data, and the scripts: neither ends early, nor does another begin.
    assert len(page.all("script")) == len(page.scripts) == html.count("</script>") == 2
    assert html.count("&lt;script&gt;alert(") > 5
    assert page.data["review"]["3"]["name"] == f"band {HOSTILE}"
    assert not page.all("b", **{"class": ""}) and "=band & <b>" not in html
    for attributes in page.all("input", name="name"):
        assert "alert" not in attributes["value"] or attributes["value"] == f"band {HOSTILE}"


def test_figures_have_a_text_and_theme_colours_only(run, page, html):
    svgs = page.all("svg")
    assert len(svgs) == len(ALT)
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in svgs)
    for path in Path(run.figures).iterdir():
        assert set(re.findall(r"#[0-9a-f]{6}\b", path.read_text())) <= set(THEME), path.name
    assert not set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})\b", html))


def test_every_control_has_a_label(page, html):
    for kind in ("input", "select", "textarea"):
        n_labelled = len(re.findall(rf"<label[^>]*>(?:(?!</label>).)*?<{kind}\b", html, flags=re.DOTALL))
        assert n_labelled == len(page.all(kind)), kind
    assert len(page.all("span", role="img")) == sum(len(card["cells"]) for card in page.data["cards"])
    assert all(cell["aria-label"] for cell in page.all("span", role="img"))


def test_cards_are_no_forms_and_have_a_verdict_each(page):
    # Chromium looks through the whole page for the fields of each form: 3,000 forms took minutes to open.
    assert [form["id"] for form in page.all("form")] == ["filters"]
    names = [found["name"] for found in page.all("input", type="radio")]
    concepts = [card["concept"] for card in page.data["cards"]]
    assert names == [f"verdict-{concept}" for concept in concepts for _ in range(3)]


def test_cards_are_living_concepts_in_the_stated_order(run, page):
    tables = read_tables(run)
    table = tables.training.concepts
    associations = tables.training.associations
    order = [card["concept"] for card in page.data["cards"]]
    dead = table.index[table["dead"] | table["dead_by_magnitude"]]
    assert len(dead) >= 2 and not set(order) & set(dead)
    q = associations.groupby("concept")["q"].min()
    expected = sorted(set(table.index) - set(dead), key=lambda c: (q[c], -table.at[c, "firing_rate"], c))
    assert order == expected == ranked(tables).tolist()
    assert [article["id"] for article in page.all("article")] == [f"concept-{concept}" for concept in order]


def test_gallery_takes_the_first_and_those_reviewed_before(run):
    tables = read_tables(run)
    order = ranked(tables).tolist()
    shown = [card.concept for card in make_cards(tables, most=4)]
    assert shown == [concept for place, concept in enumerate(order) if place < 4 or concept in (3, 5, 7)]


def test_a_card_says_what_the_tables_say(run):
    tables = read_tables(run)
    card = make_cards(tables, most=1)[0]
    rows = tables.training.associations.query("concept == @card.concept and auroc > 0.5")
    rows = rows.sort_values(["q", "auroc"], ascending=[True, False])
    assert [(found.target, found.value) for found in card.associations] == list(
        zip(rows["target"], rows["value"], strict=True)
    )
    assert card.associations[0].auroc.text == f"{rows['auroc'].iloc[0]:.2f}"
    assert [len(group.images) for group in card.groups] == [8, 8]
    top = tables.training.top_images.query("concept == @card.concept").sort_values("rank")
    assert [shown.image for shown in card.groups[0].images] == top["image"].head(8).tolist()
    labels = tables.training.images["label"]
    assert [shown.label for shown in card.groups[0].images] == [labels[image] for image in top["image"].head(8)]
    shift = tables.externals[0].shift_concepts.at[card.concept, "cohort_auroc"]
    assert [fact.text for fact in card.groups[1].facts[1:]] == [f"{shift:.2f}"]
    assert card.order["shift0"] == pytest.approx(abs(shift - 0.5), abs=1e-6)


def test_review_of_an_earlier_run_is_filled_in_everywhere(run, page, html):
    assert page.all("input", name="name", value=f"band {HOSTILE}")
    checked = [found["value"] for found in page.all("input", type="radio") if "checked" in found]
    assert checked.count("accepted") == checked.count("rejected") == 1
    assert html.count(html_module.escape(f"band {HOSTILE}", quote=True).replace("&#x27;", "&#39;")) >= 3
    assert page.data["sae_sha256"] == sae_sha256(load(run.sae))


def test_pictures_are_small_and_kept_once(page):
    pictures = page.data["pictures"]
    assert len(pictures) == len(set(pictures))
    used = {cell[0] for card in page.data["cards"] for cell in card["cells"]} - {None}
    assert used == set(range(len(pictures)))
    for text in pictures[:5]:
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            assert picture.format == "JPEG" and max(picture.size) == CELL_PX


def test_pictures_that_are_gone_are_counted_and_left_blank(page, html):
    blank = [cell for card in page.data["cards"] for cell in card["cells"] if cell[0] is None]
    assert blank and all(cell == [None, None, None] for cell in blank)
    assert "2 pictures could not be read again" in html  # one broken per cohort


def test_thumbnails_of_equal_content_are_one():
    thumbnails = Thumbnails(20)
    grey = Image.new("RGB", (50, 30), "grey")
    assert [thumbnails.place("a", image, lambda _: grey) for image in "xyx"] == [0, 0, 0]
    assert thumbnails.place("a", "z", lambda _: None) is None and thumbnails.place("a", "w", None) is None
    assert len(thumbnails.encoded) == 1 and thumbnails.unreadable == 0


def test_maps_are_the_patches_activations_scaled_to_the_concepts_largest(run, page):
    sae = load(run.sae)
    card = page.data["cards"][0]
    blocks = [block for path in run.training.shards for block in cell_blocks(str(path))]
    tables = read_tables(run)
    shown = make_cards(tables, most=1)[0]
    maps = []
    for files, group in zip((run.training, *run.externals), shown.groups, strict=True):
        blocks = [block for path in files.shards for block in cell_blocks(str(path))]
        found = patch_maps(sae, Tokens(blocks), {image.image: [shown.concept] for image in group.images})
        maps += [found[image.image, shown.concept][1:] for image in group.images]  # without the prefix token
    kept = [values for values, cell in zip(maps, card["cells"], strict=True) if cell[0] is not None]
    peak = max(values.max() for values in kept)
    texts = [cell[1] for cell in card["cells"] if cell[0] is not None]
    for values, text in zip(kept, texts, strict=True):
        drawn = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
        assert len(drawn) == 36
        np.testing.assert_allclose(drawn, 255 * values / peak, atol=0.51)
    assert page.data["layouts"] == [{"rows": 6, "columns": 6}]


def test_a_map_without_activation_is_zero():
    assert base64.b64decode(as_bytes([TokenMap(np.zeros(4, np.float32), {})])[0]) == bytes(4)
    assert as_bytes([]) == []


def test_embeddings_made_elsewhere_have_ids_and_values_only(run, tmp_path):
    bare = dataclasses.replace(run.training, picture=None)
    text = write_page(
        dataclasses.replace(run, training=bare, externals=[], figures=tmp_path), tmp_path / "concepts.html"
    )
    page = Page(text)
    assert page.data["pictures"] == [] and page.data["layouts"] == []
    assert "lab_a-0001" in text and "no other laboratory is configured" in text


def test_findings_name_the_winner_only_where_the_interval_tells(run):
    tables = read_tables(run)
    first = wording.findings(tables)[0]
    assert "the encoder's embedding (0.90) they perform worse: -0.06 [-0.09, -0.03]." in first
    assert "the random dictionary (0.60) they perform better: +0.24" in first
    wide = tables.comparisons.assign(ci_low=-0.2, ci_high=0.2)
    assert "no evidence of a difference" in wording.findings(dataclasses.replace(tables, comparisons=wide))[0]
    few = tables.comparisons.assign(ci_low=np.nan, ci_high=np.nan)
    assert "too few patients" in wording.findings(dataclasses.replace(tables, comparisons=few))[0]
    assert all("lab b" not in sentence for sentence in wording.findings(dataclasses.replace(tables, externals=())))


def test_shift_and_reasons_are_in_words(run, html):
    (shift,) = [shift_table(cohort.shift) for cohort in read_tables(run).externals]
    assert [[cell.text for cell in row] for row in shift.rows] == [
        ["Concepts alive", "38", "37"], ["Overlap of the concepts alive (Jaccard index)", "–", "0.900"],
    ]  # fmt: skip
    assert "Patients were not classified: one class &lt;/script&gt;" in html


def test_score_table_is_pooled_and_in_a_fixed_order(run):
    table = score_table(read_tables(run).metrics)
    assert [row[1].text for row in table.rows[:3]] == ["concepts", "token mean", "encoder's embedding"]
    assert len(table.rows) == 12 and "0.123" not in str(table)


def test_long_tables_are_cut_and_counted(run, monkeypatch):
    monkeypatch.setattr("histoweave.pages.concepts.tables.MAX_CONCEPT_ROWS", 10)
    tables = read_tables(run)
    table, more = concept_table(tables, {int(ranked(tables)[0]): "concept-x"})
    assert len(table.rows) == 10 and more == len(ranked(tables)) - 10
    assert table.rows[0][0].href == "#concept-x" and table.rows[1][0].href == ""


def test_filters_offer_what_is_significant(run, page):
    options = {found["value"] for found in page.all("option")}
    offered = {place for card in page.data["cards"] for place in card["associated"]}
    assert {str(place) for place in offered} <= options
    associations = read_tables(run).training.associations
    significant = associations[(associations["q"] < 0.05) & (associations["auroc"] > 0.5)]
    assert len(offered) == len(significant[["target", "value"]].drop_duplicates())
    assert QUOTED in LABELS and pd.unique(significant["target"]).size == 2
