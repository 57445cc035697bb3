"""The review in the gallery, in a real browser with the network off: saved, kept, loaded, refused, without a mouse."""

from __future__ import annotations

import pytest
from browsing import until
from concept_report_data import add_review, write_concept_run
from gallery_pages import answer, data_of, save, shown

from histoweave.pages.concepts.page import write_concept_report

NAME = "band nuclei, \"bent\" </script><script>console.error('name')</script>"
FORMULA = '=HYPERLINK("x")'


def test_review_is_saved_kept_and_loaded(open_page, gallery, tmp_path):
    page = open_page(gallery)
    page.on("dialog", lambda dialog: dialog.accept())
    first, second, third, *_ = shown(page)
    answer(page, first, name=NAME, verdict="accepted", comment="one\ntwo; three")
    answer(page, second, verdict="rejected")
    answer(page, third, name=FORMULA)
    assert page.locator(f"#concept-{first} h3").text_content() == NAME
    assert page.locator("#progress").inner_text() == f"3 of {len(shown(page))} reviewed · 3 unsaved"

    rows = {int(row["concept"]): row for row in save(page, tmp_path / "review.csv")}
    sha256 = data_of(page)["sae_sha256"]
    assert set(rows) == {first, second, third} and {row["sae_sha256"] for row in rows.values()} == {sha256}
    assert (rows[first]["name"], rows[first]["verdict"]) == (NAME, "accepted")
    assert rows[first]["comment"] == "one\ntwo; three"
    assert (rows[second]["name"], rows[second]["verdict"]) == ("", "rejected")
    assert rows[third]["name"] == "'" + FORMULA  # no spreadsheet runs it
    assert "unsaved" not in page.locator("#progress").inner_text()

    page.reload()
    assert page.locator(f"#concept-{first} h3").text_content() == NAME
    assert page.locator(f"#concept-{third} [name=name]").input_value() == FORMULA
    assert page.locator(f"#concept-{second} [value=rejected]").is_checked()

    elsewhere = open_page(gallery)  # another browser, which knows nothing
    assert elsewhere.locator("#progress").inner_text().startswith("0 of")
    elsewhere.locator("#load").set_input_files(tmp_path / "review.csv")
    until(elsewhere, "document.getElementById('message').textContent.startsWith('Loaded 3 answers')")
    assert elsewhere.locator(f"#concept-{first} h3").text_content() == NAME
    assert elsewhere.locator(f"#concept-{first} [name=comment]").input_value() == "one\ntwo; three"
    assert elsewhere.locator(f"#concept-{third} h3").text_content() == FORMULA
    again = save(elsewhere, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "review.csv").read_bytes() and len(again) == 3


def test_spreadsheets_way_of_saving_is_read(open_page, gallery, tmp_path):
    page = open_page(gallery)
    concept, sha256 = shown(page)[0], data_of(page)["sae_sha256"]
    text = f'concept;name;verdict;comment;sae_sha256\r\n{concept};"a ""b""; c";accepted;;{sha256}\r\n'
    (tmp_path / "review.csv").write_text(text, encoding="utf-8-sig", newline="")
    page.locator("#load").set_input_files(tmp_path / "review.csv")
    until(page, "document.getElementById('message').textContent.startsWith('Loaded 1 answer ')")
    assert page.locator(f"#concept-{concept} h3").text_content() == 'a "b"; c'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,a,accepted,,{other}", "row 2 belongs to another dictionary"),
        ("1,a,maybe,,{sha}", "unknown verdict 'maybe'"),
        ("4000,a,,,{sha}", "no concept '4000'"),
        ("1,a,,,{sha}\n1,b,,,{sha}", "concept 1 occurs twice"),
        ('1,"a,,,{sha}', "a quotation mark is not closed"),
    ],
)
def test_a_broken_review_is_refused_in_words(open_page, gallery, tmp_path, row, message):
    page = open_page(gallery)
    rows = row.format(sha=data_of(page)["sae_sha256"], other="0" * 64)
    (tmp_path / "review.csv").write_text(f"concept,name,verdict,comment,sae_sha256\n{rows}\n")
    page.locator("#load").set_input_files(tmp_path / "review.csv")
    until(page, "document.getElementById('message').textContent.includes('was not loaded')")
    assert message in page.locator("#message").inner_text()
    assert page.locator("#progress").inner_text().startswith("0 of")


def test_answers_that_are_in_no_file_are_kept_and_warned_of(open_page, gallery):
    page = open_page(gallery)
    concept = shown(page)[0]
    warnings = []
    page.on("dialog", lambda dialog: (warnings.append(dialog.type), dialog.accept()))
    page.reload()
    assert warnings == []
    answer(page, concept, name="blast")
    page.reload()
    assert warnings == ["beforeunload"]
    assert page.locator(f"#concept-{concept} h3").text_content() == "blast"
    assert "1 unsaved answer restored from an earlier visit" in page.locator("#message").inner_text()


def test_next_run_shows_the_review_and_newer_names_win(open_page, tmp_path):
    inputs = write_concept_run(tmp_path)
    write_concept_report(inputs, tmp_path / "concepts.html")
    page = open_page(tmp_path / "concepts.html")
    first, second, *_ = shown(page)
    answer(page, first, name="old name")
    save(page, tmp_path / "review.csv")
    add_review(inputs, {first: ("new name", "accepted"), second: ("", "rejected")})
    write_concept_report(inputs, tmp_path / "concepts.html")
    page.reload()
    assert page.locator(f"#concept-{first} h3").text_content() == "new name"
    assert page.locator(f"#concept-{first} .verdict").text_content() == "accepted"
    assert page.locator("#progress").inner_text().startswith("2 of")
    page.locator("#filter-verdict").select_option("rejected")
    until(page, "document.querySelectorAll('article:not([hidden])').length === 1")
    assert shown(page) == [second]


def test_a_review_needs_no_mouse(open_page, gallery, tmp_path):
    page = open_page(gallery)
    concept = shown(page)[0]
    page.locator(f"#concept-{concept} [name=name]").focus()
    page.keyboard.type("blast")
    page.keyboard.press("Enter")  # sends nothing, loses nothing
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # from the last, "open", to the first, "accept"
    assert page.locator(f"#concept-{concept} .verdict").text_content() == "accepted"
    assert save(page, tmp_path / "review.csv")[0]["name"] == "blast"
    names = page.evaluate(
        "Array.from(document.querySelectorAll('#gallery :is(input, select, textarea, button)'),"
        " c => (c.labels?.[0]?.textContent || c.textContent || '').trim())"
    )
    assert all(names)
