"""The report in a real browser, with the network off: complete, silent, and never wider than the window."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import WIDTHS_PX, check_page, draw_everything, until
from playwright.sync_api import Page
from report_data import write_run

from histoweave.pages.report.figures import draw_figures
from histoweave.pages.report.inputs import read_tables
from histoweave.pages.report.page import write_report


@pytest.fixture(scope="module")
def make_report():
    """A function that writes a synthetic run into a folder, and its report."""

    def make(folder: Path, **settings) -> Path:
        inputs = write_run(folder, **settings)
        draw_figures(tables=read_tables(inputs), out_dir=inputs.figures)
        write_report(inputs, folder / "report.html")
        return folder / "report.html"

    return make


@pytest.fixture(scope="module")
def report(make_report, tmp_path_factory) -> Path:
    return make_report(tmp_path_factory.mktemp("report"))


def test_report_works_offline_at_every_width(report, new_browser):
    check_page(report, new_browser)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("<script>console.error('x')</script>", "console error"),
        ('<img src="http://127.0.0.1:9/x.png" alt="x">', "console error|asks for|failed"),
        ('<main><div style="width:3000px;height:1px"></div></main>', "too wide"),
    ],
)
def test_check_page_finds_faults(report, new_browser, tmp_path, fault, message):
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text(encoding="utf-8").replace("</footer>", f"</footer>{fault}"))
    with pytest.raises(AssertionError, match=message):
        check_page(broken, new_browser, widths_px=WIDTHS_PX[:1], schemes=("light",))


def test_tables_sort_by_click_and_by_keyboard(open_page, report):
    page = open_page(report)
    table = page.locator("section#metrics table").filter(has_text="AUROC").first
    column = table.locator("th button").all_inner_texts().index("AUROC")

    def values() -> list[float]:
        cells = table.locator(f"tbody tr td:nth-child({column + 1})")
        return [float(cell.get_attribute("data-sort")) for cell in cells.all()]

    button = table.locator("th button").nth(column)
    button.click()
    assert values() == sorted(values(), reverse=True)
    button.focus()
    page.keyboard.press("Enter")
    assert values() == sorted(values())
    assert table.locator("th").nth(column).get_attribute("aria-sort") == "ascending"


def _colours(page: Page) -> list[str]:
    """Of the page, of a still figure's text and of an interactive figure's."""
    page.locator("section#metrics").scroll_into_view_if_needed()
    until(page, "document.querySelector('section#metrics .live .main-svg text')")
    return page.evaluate(
        "[getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('section#confusion svg text')).fill,"
        " getComputedStyle(document.querySelector('section#metrics .live .main-svg text')).fill]"
    )


def test_dark_scheme_changes_page_and_figures(open_page, report):
    light, dark = (_colours(open_page(report, scheme=scheme)) for scheme in ("light", "dark"))
    assert all(a != b for a, b in zip(light, dark, strict=True))


def test_a_reader_may_choose_light_or_dark(open_page, report):
    page = open_page(report, scheme="light")
    light = _colours(page)
    button = page.get_by_role("button", name="Colours:")
    button.click()
    assert button.inner_text() == "Colours: light" and _colours(page) == light
    button.click()
    assert button.inner_text() == "Colours: dark"
    until(page, f"getComputedStyle(document.querySelector('#metrics .live text')).fill !== '{light[2]}'")
    dark = _colours(page)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.reload()
    assert _colours(page) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_accessibility(open_page, report, scheme):
    page = open_page(report, scheme=scheme, width_px=1400 if scheme == "light" else 390)
    draw_everything(page)
    results = Axe().run(page)
    assert not results.violations_count, results.generate_report()
    page.evaluate("document.querySelectorAll('.open-slide')[5].click()")
    results = Axe().run(page, context="#viewer")
    assert not results.violations_count, results.generate_report()


def test_contents_mark_what_is_read_and_fold_on_a_narrow_window(open_page, report):
    page = open_page(report, width_px=390)
    unfold = page.get_by_role("button", name="Contents")
    assert not page.locator("#contents-list").is_visible()
    unfold.click()
    page.locator("#contents-list").get_by_role("link", name="Decision curves (net benefit)").click()
    until(page, "document.querySelector('nav [aria-current]')?.textContent === 'Decision curves (net benefit)'")
    assert not page.locator("#contents-list").is_visible() and "net benefit" in unfold.inner_text()
    # Figures that are drawn on the way do not push the section away.
    until(page, "document.querySelector('#decision-curve .live .main-svg')")
    page.wait_for_timeout(1500)
    top = page.evaluate("document.getElementById('decision-curve').getBoundingClientRect().top")
    assert 0 <= top < 120


def test_long_tables_can_be_searched(open_page, report):
    page = open_page(report)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    box = page.get_by_label("Find rows: Predictions per patient and model")
    rows = page.locator("section#patients tbody tr")
    box.fill("0007")
    assert rows.filter(visible=True).count() == 1
    assert "1 of 60 rows" in page.locator("section#patients .find").inner_text()
    box.fill("")
    assert rows.filter(visible=True).count() == 60
    short = page.locator("section#metrics > .scroll").first
    assert short.locator("xpath=preceding-sibling::*[1]").get_attribute("class") != "find"


def _layers(page: Page) -> list[float]:
    """Scale, left and top of the slide in the viewer."""
    return page.evaluate(
        "(() => { const m = new DOMMatrix(getComputedStyle(document.querySelector('.layers')).transform);"
        " return [m.a, m.e, m.f]; })()"
    )


def test_slides_zoom_and_move_and_show_what_is_asked_for(open_page, report):
    page = open_page(report)
    page.get_by_role("button", name="Enlarge slide TCGA-ZA-0006").click()
    viewer = page.locator("#viewer")
    assert viewer.get_by_role("heading").inner_text().startswith("TCGA-ZA-0006")
    fitted = _layers(page)
    viewer.get_by_role("button", name="Zoom in").click()
    assert _layers(page)[0] == pytest.approx(1.5 * fitted[0])
    page.locator("#viewer-stage").focus()
    before = _layers(page)
    page.keyboard.press("ArrowDown")
    assert _layers(page)[2] == before[2] - 60
    page.keyboard.press("0")
    assert _layers(page) == pytest.approx(fitted)
    page.locator("#viewer-stage").hover(position={"x": 300, "y": 200})
    page.mouse.wheel(0, -400)
    until(page, f"new DOMMatrix(getComputedStyle(document.querySelector('.layers')).transform).a > {2 * fitted[0]}")
    scale, left, top = _layers(page)
    page.mouse.down()
    page.mouse.move(page.viewport_size["width"] / 2, 400)
    page.mouse.up()
    assert _layers(page)[0] == scale and _layers(page)[1:] != [left, top]

    assert viewer.locator("svg").is_visible()
    viewer.get_by_label("Contours").uncheck()
    assert not viewer.locator("svg").is_visible()
    overlay = viewer.locator(".overlay")
    assert overlay.evaluate("e => e.style.opacity") == "0"
    viewer.get_by_label("Attribution").check()
    viewer.get_by_label("Opacity").fill("40")
    assert overlay.evaluate("e => e.style.opacity") == "0.4"
    viewer.get_by_role("button", name="Previous slide").click()
    assert viewer.get_by_role("heading").inner_text().startswith("TCGA-ZA-0005")
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")  # a refused slide has neither
    assert "(unreadable_tiles)" in viewer.get_by_role("heading").inner_text()
    assert viewer.get_by_label("Contours").is_disabled() and viewer.get_by_label("Attribution").is_disabled()
    page.keyboard.press("Escape")
    assert not viewer.is_visible()


def test_patients_are_explained_one_by_one(open_page, report):
    page = open_page(report)
    page.locator("#patient-browser").scroll_into_view_if_needed()
    says = page.locator("#patient-says")
    until(page, "document.querySelector('#patient-genes .main-svg')")
    assert (
        says.inner_text().startswith("TCGA-ZA-0001: true class")
        and "no usable slide" in page.locator("#patient-slides").inner_text()
    )
    page.locator("#patient").select_option("6")
    assert says.inner_text().startswith("TCGA-ZA-0007: true class") and "wrong prediction" in says.inner_text()
    until(page, "document.querySelector('#patient-cross .main-svg')")
    assert page.locator("#patient-slides rect.for").count() == page.locator("#patient-slides rect.against").count() == 6
    page.get_by_label("Wrong predictions only").check()
    page.get_by_role("button", name="Next patient").click()
    assert says.inner_text().startswith("TCGA-ZA-0013: true class")
    # What is drawn stands in tables as well; a gene's name is a text, whatever it holds.
    page.get_by_text("Data of this patient as tables").click()
    assert page.locator("#patient-tables table").count() == 3
    assert "<img src=x" in page.locator("#patient-tables").inner_text()
    assert page.locator("#patient-browser img:not([alt])").count() == 0


def test_paper_has_every_figure_once(open_page, report):
    page = open_page(report, scheme="dark")
    until(page, "window.Plotly")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    drawn = page.evaluate(
        "Array.from(document.querySelectorAll('figure.interactive'), f => [f.closest('section').id,"
        " Boolean(f.querySelector('.still')?.checkVisibility()), f.querySelectorAll('.live .main-svg').length > 0"
        " && f.querySelector('.live').checkVisibility(), Array.from(f.querySelectorAll('.live'), l => l.offsetWidth)])"
    )
    assert drawn and all(still != live for _, still, live, _ in drawn), drawn
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    ink = "getComputedStyle(document.querySelector('#calibration .live text')).fill"
    assert page.evaluate(ink) == "rgb(31, 41, 51)"
    page.emulate_media(media="screen", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    until(page, f"{ink} !== 'rgb(31, 41, 51)'")
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden() and page.locator(".find").first.is_hidden()


def test_readers_without_scripts_have_still_figures_and_tables(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.resolve().as_uri())
    assert page.locator("section#metrics .still svg").is_visible()
    assert page.locator("section#calibration table").first.is_visible()
    assert page.locator("#contents-list").is_visible() and not page.locator("#patient-browser").is_visible()
    assert page.locator("button:visible").count() == page.locator("th button:visible").count()
    context.close()


def test_report_of_500_patients_is_small_and_opens_fast(browser, make_report, tmp_path):
    path = make_report(
        tmp_path, classes=("LumA", "LumB", "Her2", "Basal"), n_patients=500, n_sites=12, thumbnail_px=1024
    )
    assert path.stat().st_size <= 25_000_000
    page = browser.new_page()
    page.goto(path.resolve().as_uri(), wait_until="load")
    times = page.evaluate(
        "(({ domContentLoadedEventEnd, loadEventEnd }) => [domContentLoadedEventEnd, loadEventEnd])"
        "(performance.getEntriesByType('navigation')[0])"
    )
    print(f"{path.stat().st_size / 1e6:.1f} MB, ready after {times[0]:.0f} ms, loaded after {times[1]:.0f} ms")
    assert 0 < times[1] <= 3000
    page.close()
