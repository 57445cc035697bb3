"""The gallery in a real browser, with the network off: pictures, filters and sorting, at every width."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import NEXT_FRAME, WIDTHS_PX, over_frames, until
from concept_report_data import write_concept_run
from gallery_pages import answer, data_of, shown

from histoweave.pages.concepts.page import write_concept_report


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_page_works_at_every_width_and_in_both_schemes(open_page, gallery, width_px, scheme):
    page = open_page(gallery, width_px=width_px, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for large in (False, True):
        if large and width_px > 600:  # there is no room for larger ones on a telephone
            page.locator("#large").check()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    page.locator("article").first.scroll_into_view_if_needed()
    page.wait_for_selector("article .cell canvas")
    # What content-visibility skips is not laid out, so every card comes into view once.
    wide = over_frames(
        page,
        "async () => { let most = 0; for (const card of document.querySelectorAll('article')) {"
        f" card.scrollIntoView(); await {NEXT_FRAME};"
        " most = Math.max(most, document.documentElement.scrollWidth - window.innerWidth,"
        " card.scrollWidth - card.clientWidth); } return most; }",
    )
    assert wide <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_accessibility(open_page, gallery, scheme):
    page = open_page(gallery, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    results = Axe().run(page)
    assert not results.violations_count, results.generate_report()


def test_pictures_and_maps_come_with_the_window_and_go(open_page, gallery):
    page = open_page(gallery)
    assert page.locator("article .cell img").count() == 0
    first = page.locator("article").first
    first.scroll_into_view_if_needed()
    until(page, "document.querySelector('article .cell canvas')")
    data = data_of(page)
    n_cells = len(data["cards"][0]["cells"])
    pictured = sum(cell[0] is not None for cell in data["cards"][0]["cells"])
    until(page, f"document.querySelectorAll('article:first-child .cell canvas').length === {pictured}")
    assert first.locator(".cell").count() == n_cells
    # The map's hottest place is opaque, its coldest clear.
    alpha = first.locator("canvas").first.evaluate(
        "c => { const a = c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 === 3);"
        " return [Math.min(...a), Math.max(...a)]; }"
    )
    assert alpha[0] < 30 < alpha[1]
    page.locator("#heat").uncheck()
    until(page, "!document.querySelector('article .cell canvas')")
    assert first.locator(".cell img").count() == pictured
    page.locator("article").last.scroll_into_view_if_needed()
    until(page, "!document.querySelector('article .cell img') || document.querySelector('article:last-child img')")
    assert first.locator(".cell img").count() == 0


def test_filters_and_their_count(open_page, gallery):
    page = open_page(gallery)
    cards = data_of(page)["cards"]
    total = len(cards)

    def after(expected: list[int]) -> None:
        until(page, f"document.querySelectorAll('article:not([hidden])').length === {len(expected)}")
        assert shown(page) == expected
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
    answer(page, concept, name="Döhle body")
    page.get_by_label("Search").fill("döhle BODY")
    after([concept])
    page.get_by_label("Search").fill("nothing like it")
    after([])
    page.evaluate(f"location.hash = '#concept-{concept}'")  # a link from the table opens what a filter hid
    after([card["concept"] for card in cards])


@pytest.mark.parametrize("key", ["concept", "-firing", "-mean", "entropy", "-stability", "shift1"])
def test_sorting(open_page, gallery, key):
    page = open_page(gallery)
    cards = data_of(page)["cards"]
    page.get_by_label("Sort by").select_option(key)
    name, sign = key.removeprefix("-"), -1 if key.startswith("-") else 1

    def place(card) -> tuple:
        value = card["order"][name]
        return (value is None, sign * (value or 0), card["order"]["rank"])

    assert shown(page) == [card["concept"] for card in sorted(cards, key=place)]


def test_sorting_by_name_takes_the_names_given_just_now(open_page, gallery):
    page = open_page(gallery)
    order = shown(page)
    answer(page, order[5], name="b")
    answer(page, order[2], name="a")
    page.get_by_label("Sort by").select_option("name")
    rest = [concept for concept in order if concept not in (order[5], order[2])]
    assert shown(page) == [order[2], order[5], *rest]


def test_slides_draw_their_tiles(open_page, tmp_path):
    inputs = write_concept_run(tmp_path, source="tiles", n_cells=12, externals=())
    write_concept_report(inputs, tmp_path / "concepts.html")
    page = open_page(tmp_path / "concepts.html")
    page.locator("article").first.scroll_into_view_if_needed()
    canvas = page.locator("article canvas").first
    canvas.wait_for()
    assert canvas.evaluate("c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0)")
