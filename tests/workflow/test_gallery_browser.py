"""The gallery in a real browser, with the network off: reviewing, saving, loading, filtering, at every width."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS_PX = (390, 1400)
_ARGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
NAME = "band nuclei, \"bent\" </script><script>console.error('name')</script>"
FORMULA = '=HYPERLINK("x")'


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The modules of tests/unit that make a run, and a run with pictures whose page is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "unit"))
        import concept_report_data

    folder = tmp_path_factory.mktemp("gallery")
    inputs = concept_report_data.write_concept_run(folder, externals=("lab b", "lab c"))
    return concept_report_data, inputs, _write(inputs, folder / "concepts.html")


def _write(inputs, out: Path) -> Path:
    from histoweave.gallery.page import write_concept_report

    write_concept_report(inputs, out)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None and "CI" not in os.environ:
        pytest.skip("chromium is not installed")
    assert chromium, "chromium is not installed; CI needs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_ARGS))
        yield browser
        browser.close()


@pytest.fixture
def faults() -> Iterator[list[str]]:
    found: list[str] = []
    yield found
    assert not found, found


@pytest.fixture
def open_page(browser, faults):
    contexts = []

    def opened(path: Path, *, width_px: int = 1400, scheme: str = "light", context=None) -> Page:
        if context is None:
            context = browser.new_context(viewport={"width": width_px, "height": 900}, color_scheme=scheme)
            context.set_offline(True)
            contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("requestfailed", lambda request: faults.append(f"failed: {request.url[:80]}"))
        page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or faults.append(f"asks {r.url}"))
        page.set_default_timeout(20_000)
        page.goto(path.resolve().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


def _shown(page: Page) -> list[int]:
    """Concepts of the visible cards in their order."""
    ids = page.evaluate("Array.from(document.querySelectorAll('article:not([hidden])'), card => card.id)")
    return [int(name.removeprefix("concept-")) for name in ids]


def _until(page: Page, condition: str) -> None:
    """Wait until a JavaScript expression holds; Playwright's own way needs an eval, which the page forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never became true: {condition}")


def _data(page: Page) -> dict:
    return json.loads(page.locator("#data").text_content())


def _save(page: Page, to: Path) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.locator("#save").click()
    assert download.value.suggested_filename == "review.csv"
    download.value.save_as(to)
    with to.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _review(page: Page, concept: int, *, name: str = "", verdict: str = "", comment: str = "") -> None:
    form = page.locator(f"#concept-{concept} form.review")
    form.scroll_into_view_if_needed()
    for field, text in (("name", name), ("comment", comment)):
        if text:
            form.locator(f"[name={field}]").fill(text)
    if verdict:
        form.locator(f"[value={verdict}]").check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_page_works_at_every_width_and_in_both_schemes(open_page, runs, width_px, scheme):
    page = open_page(runs[2], width_px=width_px, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for large in (False, True):
        if large and width_px > 600:  # there is no room for larger ones on a telephone
            page.locator("#large").check()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    page.locator("article").first.scroll_into_view_if_needed()
    page.wait_for_selector("article .cell canvas")
    # What content-visibility skips is not laid out, so every card comes into view once.
    wide = page.evaluate(
        "async () => { let most = 0; for (const card of document.querySelectorAll('article')) {"
        " card.scrollIntoView(); await new Promise(requestAnimationFrame);"
        " most = Math.max(most, document.documentElement.scrollWidth - window.innerWidth,"
        " card.scrollWidth - card.clientWidth); } return most; }"
    )
    assert wide <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_accessibility(open_page, runs, scheme):
    page = open_page(runs[2], scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    results = Axe().run(page)
    assert not results.violations_count, results.generate_report()


def test_pictures_and_maps_come_with_the_window_and_go(open_page, runs):
    page = open_page(runs[2])
    assert page.locator("article .cell img").count() == 0
    first = page.locator("article").first
    first.scroll_into_view_if_needed()
    _until(page, "document.querySelector('article .cell canvas')")
    data = _data(page)
    n_cells = len(data["cards"][0]["cells"])
    pictured = sum(cell[0] is not None for cell in data["cards"][0]["cells"])
    _until(page, f"document.querySelectorAll('article:first-child .cell canvas').length === {pictured}")
    assert first.locator(".cell").count() == n_cells
    # The map's hottest place is opaque, its coldest clear.
    alpha = first.locator("canvas").first.evaluate(
        "c => { const a = c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 3);"
        " return [Math.min(...a), Math.max(...a)]; }"
    )
    assert alpha[0] < 30 < alpha[1]
    page.locator("#heat").uncheck()
    _until(page, "!document.querySelector('article .cell canvas')")
    assert first.locator(".cell img").count() == pictured
    page.locator("article").last.scroll_into_view_if_needed()
    _until(page, "!document.querySelector('article .cell img') || document.querySelector('article:last-child img')")
    assert first.locator(".cell img").count() == 0


def test_review_is_saved_kept_and_loaded(open_page, runs, tmp_path):
    page = open_page(runs[2])
    page.on("dialog", lambda dialog: dialog.accept())
    first, second, third, *_ = _shown(page)
    _review(page, first, name=NAME, verdict="accepted", comment="one\ntwo; three")
    _review(page, second, verdict="rejected")
    _review(page, third, name=FORMULA)
    assert page.locator(f"#concept-{first} h3").text_content() == NAME
    assert page.locator("#progress").inner_text() == f"3 of {len(_shown(page))} reviewed · 3 unsaved"

    rows = {int(row["concept"]): row for row in _save(page, tmp_path / "review.csv")}
    sha256 = _data(page)["sae_sha256"]
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

    elsewhere = open_page(runs[2])  # another browser, which knows nothing
    assert elsewhere.locator("#progress").inner_text().startswith("0 of")
    elsewhere.locator("#load").set_input_files(tmp_path / "review.csv")
    _until(elsewhere, "document.getElementById('message').textContent.startsWith('Loaded 3 answers')")
    assert elsewhere.locator(f"#concept-{first} h3").text_content() == NAME
    assert elsewhere.locator(f"#concept-{first} [name=comment]").input_value() == "one\ntwo; three"
    assert elsewhere.locator(f"#concept-{third} h3").text_content() == FORMULA
    again = _save(elsewhere, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "review.csv").read_bytes() and len(again) == 3


def test_spreadsheets_way_of_saving_is_read(open_page, runs, tmp_path):
    page = open_page(runs[2])
    concept, sha256 = _shown(page)[0], _data(page)["sae_sha256"]
    text = f'concept;name;verdict;comment;sae_sha256\r\n{concept};"a ""b""; c";accepted;;{sha256}\r\n'
    (tmp_path / "review.csv").write_text(text, encoding="utf-8-sig", newline="")
    page.locator("#load").set_input_files(tmp_path / "review.csv")
    _until(page, "document.getElementById('message').textContent.startsWith('Loaded 1 answer ')")
    assert page.locator(f"#concept-{concept} h3").text_content() == 'a "b"; c'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,a,accepted,,{other}", "row 2 is of another dictionary"),
        ("1,a,maybe,,{sha}", "unknown verdict 'maybe'"),
        ("4000,a,,,{sha}", "no concept '4000'"),
        ("1,a,,,{sha}\n1,b,,,{sha}", "concept 1 is there twice"),
        ('1,"a,,,{sha}', "a quote is never closed"),
    ],
)
def test_a_broken_review_is_refused_in_words(open_page, runs, tmp_path, row, message):
    page = open_page(runs[2])
    rows = row.format(sha=_data(page)["sae_sha256"], other="0" * 64)
    (tmp_path / "review.csv").write_text(f"concept,name,verdict,comment,sae_sha256\n{rows}\n")
    page.locator("#load").set_input_files(tmp_path / "review.csv")
    _until(page, "document.getElementById('message').textContent.includes('was not loaded')")
    assert message in page.locator("#message").inner_text()
    assert page.locator("#progress").inner_text().startswith("0 of")


def test_answers_that_are_in_no_file_are_kept_and_warned_of(open_page, runs):
    page = open_page(runs[2])
    concept = _shown(page)[0]
    warnings = []
    page.on("dialog", lambda dialog: (warnings.append(dialog.type), dialog.accept()))
    page.reload()
    assert warnings == []
    _review(page, concept, name="blast")
    page.reload()
    assert warnings == ["beforeunload"]
    assert page.locator(f"#concept-{concept} h3").text_content() == "blast"
    assert "1 unsaved answer of an earlier visit is back" in page.locator("#message").inner_text()


def test_next_run_shows_the_review_and_newer_names_win(open_page, runs, tmp_path):
    data, _, _ = runs
    inputs = data.write_concept_run(tmp_path)
    page = open_page(_write(inputs, tmp_path / "concepts.html"))
    first, second, *_ = _shown(page)
    _review(page, first, name="old name")
    _save(page, tmp_path / "review.csv")
    data.add_review(inputs, {first: ("new name", "accepted"), second: ("", "rejected")})
    _write(inputs, tmp_path / "concepts.html")
    page.reload()
    assert page.locator(f"#concept-{first} h3").text_content() == "new name"
    assert page.locator(f"#concept-{first} .verdict").text_content() == "accepted"
    assert page.locator("#progress").inner_text().startswith("2 of")
    page.locator("#filter-verdict").select_option("rejected")
    _until(page, "document.querySelectorAll('article:not([hidden])').length === 1")
    assert _shown(page) == [second]


def test_filters_and_their_count(open_page, runs):
    page = open_page(runs[2])
    cards = _data(page)["cards"]
    total = len(cards)

    def after(expected: list[int]) -> None:
        _until(page, f"document.querySelectorAll('article:not([hidden])').length === {len(expected)}")
        assert _shown(page) == expected
        words = f"{total} concepts" if len(expected) == total else f"{len(expected)} of {total} concepts"
        assert page.locator("#count").inner_text() == words
        assert page.locator("#nothing").is_visible() == (not expected)

    for kind in ("classes", "attributes"):
        place = int(page.locator(f"#filter-{kind} option").nth(1).get_attribute("value"))
        page.locator(f"#filter-{kind}").select_option(str(place))
        after([card["concept"] for card in cards if place in card["associated"]])
        page.locator(f"#filter-{kind}").select_option("")
    page.locator("#filter-alive").select_option("all")
    after([card["concept"] for card in cards if card["alive"] == [0, 1]])
    page.locator("#filter-alive").select_option("1")
    after([card["concept"] for card in cards if 1 in card["alive"]])
    page.locator("#filter-alive").select_option("")
    page.locator("#filter-firing").fill("50")
    after([card["concept"] for card in cards if card["order"]["firing"] >= 0.5])
    page.get_by_role("button", name="Clear").click()
    after([card["concept"] for card in cards])
    concept = cards[3]["concept"]
    _review(page, concept, name="Döhle body")
    page.get_by_label("Search").fill("döhle BODY")
    after([concept])
    page.get_by_label("Search").fill("nothing like it")
    after([])
    page.evaluate(f"location.hash = '#concept-{concept}'")  # a link from the table opens what a filter hid
    after([card["concept"] for card in cards])


@pytest.mark.parametrize("key", ["concept", "-firing", "-mean", "entropy", "-stability", "shift1"])
def test_sorting(open_page, runs, key):
    page = open_page(runs[2])
    cards = _data(page)["cards"]
    page.get_by_label("Sort by").select_option(key)
    name, sign = key.removeprefix("-"), -1 if key.startswith("-") else 1

    def place(card) -> tuple:
        value = card["order"][name]
        return (value is None, sign * (value or 0), card["order"]["rank"])

    assert _shown(page) == [card["concept"] for card in sorted(cards, key=place)]


def test_sorting_by_name_takes_the_names_given_just_now(open_page, runs):
    page = open_page(runs[2])
    order = _shown(page)
    _review(page, order[5], name="b")
    _review(page, order[2], name="a")
    page.get_by_label("Sort by").select_option("name")
    rest = [concept for concept in order if concept not in (order[5], order[2])]
    assert _shown(page) == [order[2], order[5], *rest]


def test_a_review_needs_no_mouse(open_page, runs, tmp_path):
    page = open_page(runs[2])
    concept = _shown(page)[0]
    page.locator(f"#concept-{concept} [name=name]").focus()
    page.keyboard.type("blast")
    page.keyboard.press("Enter")  # sends nothing, loses nothing
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # from the last, "open", to the first, "accept"
    assert page.locator(f"#concept-{concept} .verdict").text_content() == "accepted"
    assert _save(page, tmp_path / "review.csv")[0]["name"] == "blast"
    names = page.evaluate(
        "Array.from(document.querySelectorAll('#gallery :is(input, select, textarea, button)'),"
        " c => (c.labels?.[0]?.textContent || c.textContent || '').trim())"
    )
    assert all(names)


def test_slides_draw_their_tiles(open_page, runs, tmp_path):
    inputs = runs[0].write_concept_run(tmp_path, source="tiles", n_cells=12, externals=())
    page = open_page(_write(inputs, tmp_path / "concepts.html"))
    page.locator("article").first.scroll_into_view_if_needed()
    canvas = page.locator("article canvas").first
    canvas.wait_for()
    assert canvas.evaluate("c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0)")
