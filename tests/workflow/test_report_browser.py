"""The report in a real browser, with the network off: complete, silent, and never wider than the window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from histoweave.report.figures import FIGURES, draw_figures
from histoweave.report.inputs import read_tables
from histoweave.report.page import SECTIONS, write_report

WIDTHS_PX = (390, 1400)
_ARGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


def _launch(playwright) -> Browser:
    chromium = shutil.which("chromium")
    if chromium is None and "CI" not in os.environ:
        pytest.skip("chromium is not installed")
    assert chromium, "chromium is not installed; CI needs it"
    return playwright.chromium.launch(executable_path=chromium, args=list(_ARGS))


def _open(browser: Browser, path: Path, *, width_px: int, scheme: str, faults: list[str]) -> Page:
    context = browser.new_context(viewport={"width": width_px, "height": 900}, color_scheme=scheme)
    context.set_offline(True)

    def only_files(route) -> None:
        if route.request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            faults.append(f"asks for {route.request.url}")
            route.abort()

    context.route("**/*", only_files)
    page = context.new_page()
    page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url[:80]}"))
    page.set_default_timeout(20_000)
    page.goto(path.resolve().as_uri())
    return page


def _until(page: Page, condition: str) -> None:
    """Wait for a condition in JavaScript. Playwright's own way evaluates strings, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(f"Boolean({condition})"):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")


def _draw_everything(page: Page) -> None:
    """Unfold what is folded, and bring every figure near the window."""
    page.evaluate(
        "async () => { document.querySelectorAll('details').forEach(d => { d.open = true; });"
        " for (const figure of document.querySelectorAll('figure.interactive, #patient-browser')) {"
        " figure.scrollIntoView({ behavior: 'instant' });"
        " await new Promise(done => setTimeout(done, 30)); } }"
    )
    _until(
        page,
        "Array.from(document.querySelectorAll('figure.interactive .live')).every(e => e.querySelector('.main-svg'))",
    )


def check_page(
    path: Path, *, widths_px: tuple[int, ...] = WIDTHS_PX, schemes: tuple[str, ...] = ("light", "dark")
) -> None:
    """Assert that the report at `path` works at every width and in both colour schemes.

    Every section is visible, nothing is fetched, the console stays silent, every figure and picture has a
    size and a text, and the page is never wider than the window.
    """
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        for width_px in widths_px:
            for scheme in schemes:
                page = _open(browser, path, width_px=width_px, scheme=scheme, faults=faults)
                where = f"{width_px} px, {scheme}"
                for name in SECTIONS:
                    section = page.locator(f"section#{name}")
                    assert section.count() == 1 and section.is_visible(), f"section {name} at {where}"
                    assert section.locator("h2").inner_text().strip() == SECTIONS[name]
                _draw_everything(page)
                overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert overflow <= 0, f"{overflow} px too wide at {where}"
                # Still figures that an interactive one has replaced are out of sight.
                figures = page.evaluate(
                    "Array.from(document.querySelectorAll('main svg[role=img], main .live'), e => {"
                    " const box = e.getBoundingClientRect();"
                    " return [e.ariaLabel, box.width, box.height, e.checkVisibility()]; }).filter(f => f[3])"
                )
                assert len(figures) > len(FIGURES)
                for text, width, height, _ in figures:
                    assert text and width > 100 and height > 20, f"figure '{text}' at {where}"
                # A lazy picture loads only when it is near; decode() rejects a broken one.
                images = page.evaluate(
                    "Promise.all(Array.from(document.querySelectorAll('main img[loading]'), "
                    "i => { i.loading = 'eager'; return i.decode().then(() => [i.alt, i.naturalWidth]); }))"
                )
                assert all(alt and natural_px > 0 for alt, natural_px in images), f"picture at {where}"
                page.context.close()
        browser.close()
    assert not faults, faults


@pytest.fixture(scope="module")
def make_report():
    """A function that writes a synthetic run into a folder, and its report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "unit"))
        from report_data import write_run

    def make(folder: Path, **settings) -> Path:
        inputs = write_run(folder, **settings)
        draw_figures(tables=read_tables(inputs), out_dir=inputs.figures)
        write_report(inputs, folder / "report.html")
        return folder / "report.html"

    return make


@pytest.fixture(scope="module")
def report(make_report, tmp_path_factory) -> Path:
    return make_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """A function that opens a page with the network off; nothing may be wrong with it at the end of the test."""
    faults: list[str] = []
    opened: list[Page] = []

    def open_(path: Path, *, width_px: int = 1400, scheme: str = "light") -> Page:
        opened.append(_open(browser, path, width_px=width_px, scheme=scheme, faults=faults))
        return opened[-1]

    yield open_
    for page in opened:
        page.context.close()
    assert not faults, faults


def test_report_works_offline_at_every_width(report):
    check_page(report)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("<script>console.error('x')</script>", "console error"),
        ('<img src="http://127.0.0.1:9/x.png" alt="x">', "console error|asks for|failed"),
        ('<main><div style="width:3000px;height:1px"></div></main>', "too wide"),
    ],
)
def test_check_page_finds_faults(report, tmp_path, fault, message):
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text(encoding="utf-8").replace("</footer>", f"</footer>{fault}"))
    with pytest.raises(AssertionError, match=message):
        check_page(broken, widths_px=WIDTHS_PX[:1], schemes=("light",))


def test_tables_sort_by_click_and_by_keyboard(open_page, report):
    page = open_page(report)
    table = page.locator("section#metrics table").first
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
    _until(page, "document.querySelector('section#metrics .live .main-svg text')")
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
    _until(page, f"getComputedStyle(document.querySelector('#metrics .live text')).fill !== '{light[2]}'")
    dark = _colours(page)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.reload()
    assert _colours(page) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_accessibility(open_page, report, scheme):
    page = open_page(report, scheme=scheme, width_px=1400 if scheme == "light" else 390)
    _draw_everything(page)
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
    page.locator("#contents-list").get_by_role("link", name="Net benefit").click()
    _until(page, "document.querySelector('nav [aria-current]')?.textContent === 'Net benefit'")
    assert not page.locator("#contents-list").is_visible() and "Net benefit" in unfold.inner_text()
    # Figures that are drawn on the way do not push the section away.
    _until(page, "document.querySelector('#decision-curve .live .main-svg')")
    page.wait_for_timeout(1500)
    top = page.evaluate("document.getElementById('decision-curve').getBoundingClientRect().top")
    assert 0 <= top < 120


def test_long_tables_can_be_searched(open_page, report):
    page = open_page(report)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    box = page.get_by_label("Find rows: Calls per patient and model")
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
    page.get_by_role("button", name="Look closer at slide TCGA-ZA-0006").click()
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
    _until(page, f"new DOMMatrix(getComputedStyle(document.querySelector('.layers')).transform).a > {2 * fitted[0]}")
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
    _until(page, "document.querySelector('#patient-genes .main-svg')")
    assert (
        says.inner_text().startswith("TCGA-ZA-0001 is")
        and "no usable slide" in page.locator("#patient-slides").inner_text()
    )
    page.locator("#patient").select_option("6")
    assert says.inner_text().startswith("TCGA-ZA-0007 is") and "a wrong call" in says.inner_text()
    _until(page, "document.querySelector('#patient-cross .main-svg')")
    assert page.locator("#patient-slides rect.for").count() == page.locator("#patient-slides rect.against").count() == 6
    page.get_by_label("Wrong calls only").check()
    page.get_by_role("button", name="Next patient").click()
    assert says.inner_text().startswith("TCGA-ZA-0013 is")
    # What is drawn stands in tables as well; a gene's name is a text, whatever it holds.
    page.get_by_text("This patient as tables").click()
    assert page.locator("#patient-tables table").count() == 3
    assert "<img src=x" in page.locator("#patient-tables").inner_text()
    assert page.locator("#patient-browser img:not([alt])").count() == 0


def test_paper_has_every_figure_once(open_page, report):
    page = open_page(report, scheme="dark")
    _until(page, "window.Plotly")
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
    _until(page, f"{ink} !== 'rgb(31, 41, 51)'")
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
